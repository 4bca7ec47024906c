"""Regression as a Flower app: iteratively reweighted least squares over sums that the sites make."""
