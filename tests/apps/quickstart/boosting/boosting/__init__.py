"""XGBoost: each client adds a tree, FedXgbBagging puts them together."""
