"""The worker: runs one Flower ClientApp over one dataset, inside the sandbox that the agent made for it."""
