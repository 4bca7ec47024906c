"""The gateway: where nodes and runners meet, each over its own mutual-TLS stream."""
