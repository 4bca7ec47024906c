"""Data permits: what they say, how they are signed, and what they allow."""
