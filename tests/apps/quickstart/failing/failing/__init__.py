"""A client that fails: the strategy goes on without it, and the app sees the error."""
