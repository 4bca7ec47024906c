"""What runs at the lab: FedXgbBagging, and the model with how good it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedXgbBagging

from trees.export import write_onnx
from trees.shared.collect import collect_evaluation
from trees.shared.exchange import ask
from trees.shared.features import Wanted
from trees.shared.onnx_model import onnx_is_there

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the whole of it; writes ``model.json``, ``model.onnx`` and ``report.json`` into the working directory."""
    config, nodes = context.run_config, list(grid.get_node_ids())
    features = Wanted.of(config).fit(ask(grid, nodes, "query.prepare", RecordDict()))
    settings = ConfigRecord({**features.record(), "sites": len(nodes)})
    strategy = FedXgbBagging(min_train_nodes=len(nodes), min_evaluate_nodes=len(nodes), min_available_nodes=len(nodes))
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord([np.empty(0, dtype=np.uint8)]),
        num_rounds=int(config["num-server-rounds"]),
        train_config=settings,
        evaluate_config=settings,
    )
    content = RecordDict({"arrays": result.arrays, "config": settings})
    report = {"evaluation": collect_evaluation(ask(grid, nodes, "query.report", content))}
    Path("model.json").write_bytes(result.arrays["0"].numpy().tobytes())
    Path("columns.json").write_text(
        json.dumps(
            {
                "columns": features.labels,
                "mean": features.scaling.mean.tolist(),
                "scale": features.scaling.scale.tolist(),
            },
            indent=2,
        ),
        encoding="utf-8",
    )
    if onnx_is_there():
        write_onnx(Path("model.json").read_bytes(), features, Path("model.onnx"), {"outcome": config["outcome"]})
    Path("report.json").write_text(json.dumps(report, indent=2), encoding="utf-8")
