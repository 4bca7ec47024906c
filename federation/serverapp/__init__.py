"""The ServerApp's process: an unmodified Flower ServerApp over Datalab's Grid, inside the sandbox beside its runner."""
