"""k-means as a Flower app: Lloyd's algorithm over sums that the sites make."""
