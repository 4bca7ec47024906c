"""A Flower app that misbehaves."""
