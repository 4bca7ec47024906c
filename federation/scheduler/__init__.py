"""Starts the runs that the lab's queue says are next, and stops those that are cancelled or late."""
