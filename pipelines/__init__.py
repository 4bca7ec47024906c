"""How data gets in at the lab: Dagster assets, thin over datalab.curation."""
