"""The runner: one process a run, which conducts a ServerApp in a sandbox beside it."""
