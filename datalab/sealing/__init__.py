"""Encryption of what is stored: sealed streams, and the keys that seal them."""
