"""Each of Flower's strategies in turn, on three unequal sites."""
