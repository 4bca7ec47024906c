"""Curation: a data contract and DuckDB turn a holder's raw export into one harmonised Parquet file.

The same engine runs at the node, for data that may not move, and at the lab under Dagster, for data that may.
"""
