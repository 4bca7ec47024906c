"""PyTorch: a small network as a dictionary of its tensors, and a file that torch has written."""
