"""The lab server: JSON API over the catalog, and the only process that opens it."""
