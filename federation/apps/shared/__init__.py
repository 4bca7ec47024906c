"""What several apps need, linked into each: an app's bundle holds all that it runs."""
