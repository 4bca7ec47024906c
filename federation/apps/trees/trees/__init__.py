"""Gradient-boosted trees as a Flower app, with XGBoost."""
