"""A Flower app that only moves a model."""
