"""A strategy of the app's own from the ground up: each round's best model wins."""
