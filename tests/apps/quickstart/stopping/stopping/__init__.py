"""scikit-learn, and a strategy of the app's own that stops early."""
