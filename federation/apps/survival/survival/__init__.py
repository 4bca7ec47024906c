"""Survival analysis as a Flower app: Kaplan-Meier and Cox regression (Breslow) over sums on a common grid of times."""
