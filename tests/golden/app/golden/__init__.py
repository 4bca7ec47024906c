"""A Flower app whose messages are the same on every day: transcripts of the wire are made with it."""
