"""A set of datasets and searches, each with the datasets that it has to find, made for these tests by hand."""
