"""One record, many standards: what catalogues, repositories and tools elsewhere read, made from the records."""
