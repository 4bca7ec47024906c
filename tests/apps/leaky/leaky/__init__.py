"""A Flower app that fails with a row of its dataset."""
