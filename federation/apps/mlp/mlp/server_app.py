"""What runs at the lab: FedAvg, and the model with how good it is."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from safetensors.numpy import save_file

from mlp.network import initial, widths
from mlp.shared.collect import collect_evaluation
from mlp.shared.exchange import ask
from mlp.shared.features import Features, Wanted
from mlp.shared.onnx_model import OnnxModel, onnx_is_there
from mlp.shared.privacy import write_accounting

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the whole of it; writes ``model.safetensors``, ``model.onnx`` and ``report.json`` where it works."""
    config, nodes = context.run_config, list(grid.get_node_ids())
    features = Wanted.of(config).fit(ask(grid, nodes, "query.prepare", RecordDict()))
    settings = features.record()
    rng = np.random.default_rng(random.getrandbits(63))
    strategy = FedAvg(min_train_nodes=len(nodes), min_evaluate_nodes=len(nodes), min_available_nodes=len(nodes))
    arrays = strategy.start(
        grid=grid,
        initial_arrays=initial(widths(config["hidden"], len(features.columns)), rng),
        num_rounds=int(config["num-server-rounds"]),
        train_config=ConfigRecord({**settings}),
        evaluate_config=ConfigRecord({**settings}),
    ).arrays
    replies = ask(grid, nodes, "query.report", RecordDict({"arrays": arrays, "config": settings}))
    save_file(
        {
            **{name: array.numpy() for name, array in arrays.items()},
            "mean": features.scaling.mean,
            "scale": features.scaling.scale,
        },
        "model.safetensors",
        metadata={"task": json.dumps({"outcome": config["outcome"], "columns": features.labels})},
    )
    write_accounting(config)
    if onnx_is_there():
        _write_onnx(arrays, features, {"outcome": config["outcome"]})
    report = {"evaluation": collect_evaluation(replies)}
    Path("report.json").write_text(json.dumps(report, indent=2), encoding="utf-8")


def _write_onnx(arrays: ArrayRecord, features: Features, about: dict[str, object]) -> None:
    graph = OnnxModel(features.labels)
    graph.log1p(features.logarithmic)
    graph.scale(features.scaling)
    graph.cast(np.float32)
    layers = len(arrays) // 2
    for number in range(layers):
        weight, bias = (arrays[f"{2 * number}.{part}"].numpy() for part in ("weight", "bias"))
        graph.step("Gemm", weight, bias, transB=1)
        if number < layers - 1:
            graph.step("Relu")
    graph.step("Sigmoid")
    graph.cast(np.float64)
    graph.save(Path("model.onnx"), about)
