"""Checks and generators for developers; not installed."""
