"""Everything that Dagster knows of the lab, assembled."""

from __future__ import annotations

import dagster as dg

from pipelines.defs.curation.assets import ASSETS, GROUP
from pipelines.defs.curation.resources import CurationRun
from pipelines.defs.curation.sensors import curate_landed, new_landings, refresh

CURATE = "curate"

defs = dg.Definitions(
    assets=ASSETS,
    jobs=[dg.define_asset_job(CURATE, selection=dg.AssetSelection.groups(GROUP)), curate_landed],
    sensors=[new_landings],
    schedules=[refresh],
    resources={"run": CurationRun.configure_at_launch()},
)
