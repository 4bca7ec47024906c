"""What data exists, in which version, and who may use it."""
