"""What runs at the lab: adds up what the sites have said."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Context, RecordDict
from flwr.serverapp import Grid, ServerApp

from descriptives.client_app import HIDDEN
from descriptives.histogram import Histogram, quantile
from descriptives.settings import Settings
from descriptives.shared.exchange import ask
from descriptives.shared.features import integers, names, texts
from descriptives.shared.scaling import Moments

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the whole of it; writes ``report.json`` into the working directory."""
    settings = Settings.of(context.run_config)
    shares = [float(one) for one in names(context.run_config["quantiles"])]
    if not all(0 < one < 1 for one in shares):
        raise ValueError("`quantiles` are between 0 and 1.")
    sites = [reply.content for reply in ask(grid, list(grid.get_node_ids()), "query.describe", RecordDict())]
    report = {
        "rows": sum(integers(site.config_records["rows"], "rows")[0] for site in sites),
        "numeric": _numeric(sites, settings, shares),
        "correlations": _correlations(sites, settings),
        "categorical": {name: _levels(sites, name) for name in settings.categorical},
        "tables": {f"{row}:{column}": _table(sites, row, column) for row, column in settings.tables},
    }
    Path("report.json").write_text(json.dumps(report, indent=2), encoding="utf-8")


def _numeric(sites: list[RecordDict], settings: Settings, shares: list[float]) -> dict[str, Any]:
    if not settings.numeric:
        return {}
    moments = [
        Moments(*(site.array_records["moments"][key].numpy() for key in ("count", "total", "squares")))
        for site in sites
    ]
    pooled = sum(moments[1:], start=moments[0])
    found = {}
    for number, name in enumerate(settings.numeric):
        count, total, squares = (float(one[number]) for one in (pooled.count, pooled.total, pooled.squares))
        entry: dict[str, Any] = {"count": count, "mean": None, "sd": None}
        if count:
            variance = (squares - total**2 / count) / (count - 1)
            entry |= {"mean": total / count, "sd": math.sqrt(max(variance, 0.0))}
        if name in settings.bounds:
            records = [site.array_records[f"histogram-{name}"] for site in sites]
            histograms = [Histogram(one["edges"].numpy(), one["counts"].numpy()) for one in records]
            entry["quantiles"] = {str(one): quantile(histograms, settings.edges(name), one) for one in shares}
        found[name] = entry
    return found


def _correlations(sites: list[RecordDict], settings: Settings) -> dict[str, Any] | None:
    if not settings.correlations or not settings.numeric:
        return None
    records = [site.array_records["cross"] for site in sites]
    rows = sum(int(one["rows"].numpy()[0]) for one in records)
    if rows == 0:
        return {"columns": list(settings.numeric), "rows": 0, "matrix": None}
    total, cross = (np.sum([one[key].numpy() for one in records], axis=0) for key in ("total", "cross"))
    covariance = cross - np.outer(total, total) / rows
    deviation = np.sqrt(np.diag(covariance))
    return {
        "columns": list(settings.numeric),
        "rows": rows,
        "matrix": (covariance / np.outer(deviation, deviation)).tolist(),
    }


def _levels(sites: list[RecordDict], name: str) -> dict[str, Any]:
    """Return each level's count over the sites that say it, and how many sites say nothing of some level."""
    counts: dict[str, int] = {}
    hiding = 0
    for site in sites:
        record = site.config_records[f"levels-{name}"]
        hiding += bool(record["hidden"])
        for level, count in zip(texts(record, "levels"), integers(record, "counts"), strict=True):
            counts[level] = counts.get(level, 0) + count
    return {"counts": {level or "(missing)": counts[level] for level in sorted(counts)}, "sites_hiding_levels": hiding}


def _table(sites: list[RecordDict], row: str, column: str) -> dict[str, Any]:
    """Return each cell's count over the sites that say it, and how many sites hide it."""
    cells: dict[tuple[str, str], list[int]] = {}
    for site in sites:
        rows, columns = (texts(site.config_records[f"levels-{name}"], "levels") for name in (row, column))
        counts = integers(site.config_records[f"table-{row}:{column}"], "counts")
        for key, count in zip(((r, c) for r in rows for c in columns), counts, strict=True):
            cells.setdefault(key, []).append(count)
    return {
        "cells": [
            {
                row: r or "(missing)",
                column: c or "(missing)",
                "count": sum(one for one in counts if one != HIDDEN),
                "sites_hiding": counts.count(HIDDEN),
            }
            for (r, c), counts in sorted(cells.items())
        ]
    }
