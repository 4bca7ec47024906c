"""Other catalogues' datasets, found here as remote entries: described, with a link to where access is asked for."""
