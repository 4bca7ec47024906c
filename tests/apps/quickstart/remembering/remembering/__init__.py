"""A mod and the context's state: clients that remember how often they were asked."""
