"""What runs at the lab: finds a grid that every site can answer on, then Kaplan-Meier and Cox regression on it."""

from __future__ import annotations

import json
import math
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, RecordDict
from flwr.serverapp import Grid, ServerApp
from safetensors.numpy import save_file

from survival.client_app import grouping
from survival.grid import MOST_TIMES, Counts
from survival.model import RiskSums, life_table
from survival.shared.exchange import ask
from survival.shared.features import Features, Wanted, names
from survival.shared.inference import coefficient_table
from survival.shared.scaling import Floats

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the whole of it; writes ``report.json``, and with features ``model.safetensors``, into the working directory.

    Raises:
        ValueError: the configuration has no grid, or the fit does not converge.
    """
    config, nodes = context.run_config, list(grid.get_node_ids())
    features = Wanted.of(config).fit(ask(grid, nodes, "query.prepare", RecordDict()))
    groups = grouping(context).fit(ask(grid, nodes, "query.groups", RecordDict()))
    settings = RecordDict({"features": features.record(), "groups": groups.record()})
    times = _common_grid(grid, nodes, settings, _times(str(config["grid"])))
    settings["grid"] = ConfigRecord({"times": times.tolist()})
    labels = [level for first in groups.first.values() for level in [*first, *groups.levels]] or ["all"]
    by_group = _counts(grid, nodes, settings)
    tables = {label: life_table(one, times) for label, one in zip(labels, by_group, strict=True)}
    report: dict[str, Any] = {"times": times.tolist(), "kaplan_meier": tables}
    if features.columns:
        everybody = reduce(Counts.__add__, by_group)
        report["cox"] = _cox(grid, nodes, settings, features, everybody.events, context)
    Path("report.json").write_text(json.dumps(report, indent=2), encoding="utf-8")


def _times(text: str) -> Floats:
    times = np.array(sorted({float(one) for one in names(text)}))
    if not 0 < len(times) <= MOST_TIMES or times[0] <= 0:
        raise ValueError(f"`grid` needs times above 0, separated by commas, {MOST_TIMES} at most.")
    return times


def _common_grid(grid: Grid, nodes: list[int], settings: RecordDict, times: Floats) -> Floats:
    """Return the widest of the grids: each site leaves out the times that would show few of its patients."""
    for node in nodes:
        content = RecordDict({**settings, "grid": ConfigRecord({"times": times.tolist()})})
        (reply,) = ask(grid, [node], "query.widen", content)
        times = np.array(reply.content.config_records["grid"]["times"], dtype=np.float64)
    return times


def _counts(grid: Grid, nodes: list[int], settings: RecordDict) -> list[Counts]:
    sites = [reply.content.array_records["counts"] for reply in ask(grid, nodes, "query.counts", settings)]
    events, left = (sum(site[name].numpy() for site in sites) for name in ("events", "left"))
    return [Counts(*one) for one in zip(events, left, strict=True)]  # type: ignore[arg-type]


def _cox(
    grid: Grid, nodes: list[int], settings: RecordDict, features: Features, events: Floats, context: Context
) -> dict[str, Any]:
    beta = np.zeros(len(features.columns))
    null = 0.0
    for done in range(int(context.run_config["iterations"])):
        sums = _risk(grid, nodes, settings, beta)
        null = sums.log_likelihood(beta, events) if done == 0 else null
        step = sums.step(events)
        if np.abs(step).max() < float(context.run_config["tolerance"]):
            break
        beta = beta + step
    else:
        raise ValueError(f"No convergence after {done + 1} steps: a feature may decide on the event completely.")
    scale = features.scaling.scale
    covariance = np.asarray(np.linalg.inv(sums.information(events)) / np.outer(scale, scale), dtype=np.float64)
    estimate = beta / scale
    save_file(
        {"coefficients": estimate, "covariance": np.ascontiguousarray(covariance), "mean": features.scaling.mean},
        "model.safetensors",
        metadata={"task": json.dumps({"model": "cox", "columns": features.labels})},
    )
    entries = coefficient_table(features.labels, estimate, covariance)
    return {
        "coefficients": [
            one | {"hazard_ratio": [math.exp(one[key]) for key in ("estimate", "low", "high")]} for one in entries
        ],
        "log_likelihood": sums.log_likelihood(beta, events),
        "log_likelihood_null": null,
        "events": float(events.sum()),
        "steps": done,
        "baseline_hazard_at_means": (events / sums.zero).tolist(),
    }


def _risk(grid: Grid, nodes: list[int], settings: RecordDict, beta: Floats) -> RiskSums:
    content = RecordDict({**settings, "beta": ArrayRecord({"beta": Array(beta)})})
    names_of = ("zero", "first", "second", "of_events")
    return reduce(
        RiskSums.__add__,
        (
            RiskSums(*(reply.content.array_records["risk"][name].numpy() for name in names_of))
            for reply in ask(grid, nodes, "query.risk", content)
        ),
    )
