"""Releases: what a run leaves behind leaves the lab by a decision, where a permit or a dataset asks for one."""
