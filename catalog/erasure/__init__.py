"""Removing a person from everything that the lab keeps, and keeping them out."""
