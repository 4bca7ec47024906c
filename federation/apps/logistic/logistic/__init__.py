"""Federated logistic regression as a Flower app."""
