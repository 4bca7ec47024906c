"""scikit-learn on unequal parts of one table, as partition-id and num-partitions say."""
