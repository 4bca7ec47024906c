"""The lab server: the JSON API over the catalog."""
