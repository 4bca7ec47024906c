"""The grid of values that all sites share; the lab, which needs no XGBoost, knows it as well."""

from __future__ import annotations

STEPS_PER_SD = 8
"""Values of a feature are told apart to this part of its standard deviation."""
REACH = 4.0
"""Standard deviations beyond which all values are one."""
