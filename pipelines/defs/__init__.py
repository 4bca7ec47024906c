"""What Dagster runs, one folder per source of work."""
