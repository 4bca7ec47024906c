"""A node as one signed file, for a hospital without a package mirror: made at the lab, installed on site."""
