"""FedProx: clients keep near the model that came, and metrics are put together by the app."""
