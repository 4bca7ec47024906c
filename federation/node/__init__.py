"""The node: a light agent that connects outwards, decides by its own policy, and keeps its data in its own folder.

It imports neither the catalog, Dagster nor a web framework.
"""
