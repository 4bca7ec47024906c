"""k-means without a model: centres and sums as lists and bytes of a configuration."""
