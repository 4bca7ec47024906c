"""The lab in a browser: pages over the same records and the same permissions as the JSON API."""
