"""The runner: one process a run, in which an unmodified Flower ServerApp works over Datalab's Grid."""
