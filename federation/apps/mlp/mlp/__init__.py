"""A multilayer perceptron as a Flower app, in PyTorch at the sites."""
