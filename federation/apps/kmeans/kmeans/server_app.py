"""What runs at the lab: moves centres to the means of their groups until they stay (Lloyd, 1982)."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, RecordDict
from flwr.serverapp import Grid, ServerApp
from safetensors.numpy import save_file

from kmeans.shared.exchange import ask
from kmeans.shared.features import Features, Wanted
from kmeans.shared.scaling import Floats

app = ServerApp()


@dataclass(frozen=True)
class Grouping:
    """Centres, and what the sites say of the rows that are nearest to them.

    Attributes:
        centres: scaled, ``(clusters, columns)``.
        counts: rows of each.
        squares: sum of their squared distances, each.
        steps: how many it took.
    """

    centres: Floats
    counts: Floats
    squares: Floats
    steps: int


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the whole of it; writes ``model.safetensors`` and ``report.json`` into the working directory."""
    config, nodes = context.run_config, list(grid.get_node_ids())
    features = Wanted.of(config).fit(ask(grid, nodes, "query.prepare", RecordDict()))
    rng = np.random.default_rng(random.getrandbits(63))
    tried = [
        group(
            grid,
            nodes,
            features,
            rng.normal(size=(int(config["clusters"]), len(features.columns))),
            iterations=int(config["iterations"]),
            tolerance=float(config["tolerance"]),
        )
        for _ in range(int(config["restarts"]))
    ]
    # A beginning that leaves rows in groups too small to be told of would look good for what it hides.
    best = max(tried, key=lambda one: (one.counts.sum(), -one.squares.sum()))
    centres = best.centres * features.scaling.scale + features.scaling.mean
    save_file({"centres": centres}, "model.safetensors", metadata={"task": json.dumps({"columns": features.labels})})
    report = {
        "columns": features.labels,
        "groups": [
            {"rows": int(count), "centre": dict(zip(features.labels, centre, strict=True)), "squares": float(squares)}
            for count, centre, squares in zip(best.counts, centres.tolist(), best.squares, strict=True)
        ],
        "rows": int(best.counts.sum()),
        "squares": float(best.squares.sum()),
        "steps": best.steps,
    }
    Path("report.json").write_text(json.dumps(report, indent=2), encoding="utf-8")


def group(
    grid: Grid, nodes: list[int], features: Features, centres: Floats, *, iterations: int, tolerance: float
) -> Grouping:
    """Return the groups that a beginning leads to; a centre that no site has enough rows for stays where it is."""
    for done in range(iterations):
        content = RecordDict({"features": features.record(), "centres": ArrayRecord({"centres": Array(centres)})})
        sites = [reply.content.array_records["sums"] for reply in ask(grid, nodes, "query.step", content)]
        counts, totals, squares = (
            np.stack([site[name].numpy() for site in sites]).sum(axis=0, dtype=np.float64)
            for name in ("counts", "totals", "squares")
        )
        moved = np.where(counts[:, None] > 0, totals / np.maximum(counts, 1)[:, None], centres)
        still = float(np.abs(moved - centres).max()) <= tolerance
        if still or done == iterations - 1:
            break
        centres = moved
    return Grouping(centres, counts, squares, done)
