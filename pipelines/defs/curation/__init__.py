"""From a raw file in the landing area to a published version: thin assets over ``datalab.curation``."""
