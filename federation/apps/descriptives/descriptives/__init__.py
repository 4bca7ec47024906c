"""Descriptive statistics as a Flower app: each site suppresses what is about few persons before it says anything."""
