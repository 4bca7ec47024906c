"""What runs at the lab: fits imputation and scaling, trains, collects each site's report, saves the model."""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from functools import reduce
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, RecordDict
from flwr.serverapp import Grid, ServerApp
from safetensors.numpy import save_file

from logistic.data import Task
from logistic.shared.exchange import ask, metrics_of
from logistic.shared.onnx_model import OnnxModel, onnx_is_there
from logistic.shared.privacy import write_accounting
from logistic.shared.scaling import Moments, Scaling
from logistic.strategies import make_strategy

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the whole of it; writes ``model.safetensors``, ``model.onnx`` and ``report.json`` where it works."""
    config = context.run_config
    task = Task.of(config)
    nodes = list(grid.get_node_ids())
    strategy = make_strategy(config, len(nodes))
    scaling = _fit_scaling(grid, nodes)
    settings = ConfigRecord({"mean": scaling.mean.tolist(), "scale": scaling.scale.tolist()})
    result = strategy.start(
        grid=grid,
        initial_arrays=_initial(len(task.features), float(config["initial-spread"])),
        num_rounds=int(config["num-server-rounds"]),
        train_config=settings,
        evaluate_config=settings,
    )
    arrays = result.arrays
    write_accounting(config)
    _save(arrays, scaling, task)
    if config["scaling"] == "common" and onnx_is_there():  # else each site scales as it is itself
        _write_onnx(arrays, scaling, task)
    report = {
        str(reply.metadata.src_node_id): dict(metrics_of(reply))
        for reply in ask(grid, nodes, "query.report", RecordDict({"arrays": arrays, "config": settings}))
    }
    Path("report.json").write_text(json.dumps(report, indent=2), encoding="utf-8")


def _initial(features: int, spread: float) -> ArrayRecord:
    """Return weights and bias drawn between ``-spread`` and ``spread``; ``random`` is seeded from the run's seed."""
    rng = np.random.default_rng(random.getrandbits(63))
    drawn = rng.uniform(-spread, spread, features + 1)
    return ArrayRecord({"weights": Array(drawn[:-1]), "bias": Array(drawn[-1:])})


def _fit_scaling(grid: Grid, nodes: list[int]) -> Scaling:
    moments = [
        Moments(*(np.array(metrics_of(reply)[key], dtype=np.float64) for key in ("count", "total", "squares")))
        for reply in ask(grid, nodes, "query.moments", RecordDict())
    ]
    return Scaling.fit(reduce(Moments.__add__, moments))


def _write_onnx(arrays: ArrayRecord, scaling: Scaling, task: Task) -> None:
    weights, bias = arrays.to_numpy_ndarrays()
    graph = OnnxModel(task.features)
    graph.log1p([name in task.log1p for name in task.features])
    graph.scale(scaling)
    graph.step("MatMul", weights[:, None])
    graph.step("Add", bias)
    graph.step("Sigmoid")
    graph.save(Path("model.onnx"), {"outcome": task.outcome})


def _save(arrays: ArrayRecord, scaling: Scaling, task: Task) -> None:
    """Write the model; its one metadata entry says what it predicts from what (several would come in random order)."""
    weights, bias = arrays.to_numpy_ndarrays()
    save_file(
        {"weights": weights, "bias": bias, "mean": scaling.mean, "scale": scaling.scale},
        "model.safetensors",
        metadata={"task": json.dumps(asdict(task))},
    )
