"""What integration tests and benchmarks share."""
