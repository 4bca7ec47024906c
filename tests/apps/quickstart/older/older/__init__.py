"""An app of Flower's older interface: NumPyClient, and a strategy that ServerAppComponents name."""
