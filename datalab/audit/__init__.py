"""Hash-chained record of who did what: every entry carries the hash of the one before it."""
