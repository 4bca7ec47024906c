"""What runs at the lab: fits imputation and scaling, trains by FedAvg, collects each site's report, saves the model."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import reduce
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from safetensors.numpy import save_file

from logistic.data import Task
from logistic.model import Moments, Scaling

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the whole of it; writes ``model.safetensors`` and ``report.json`` into the working directory."""
    config = context.run_config
    task = Task.of(config)
    nodes = list(grid.get_node_ids())
    scaling = _fit_scaling(grid, nodes)
    settings = ConfigRecord({"mean": scaling.mean.tolist(), "scale": scaling.scale.tolist()})

    strategy = FedAvg(min_train_nodes=len(nodes), min_evaluate_nodes=len(nodes), min_available_nodes=len(nodes))
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord({"weights": Array(np.zeros(len(task.features))), "bias": Array(np.zeros(1))}),
        num_rounds=int(config["num-server-rounds"]),
        train_config=settings,
        evaluate_config=settings,
    )
    arrays = result.arrays
    _save(arrays, scaling, task)
    report = {
        str(reply.metadata.src_node_id): dict(_metrics(reply))
        for reply in _ask(grid, nodes, "query.report", RecordDict({"arrays": arrays, "config": settings}))
    }
    Path("report.json").write_text(json.dumps(report, indent=2), encoding="utf-8")


def _fit_scaling(grid: Grid, nodes: list[int]) -> Scaling:
    moments = [
        Moments(*(np.array(_metrics(reply)[key], dtype=np.float64) for key in ("count", "total", "squares")))
        for reply in _ask(grid, nodes, "query.moments", RecordDict())
    ]
    return Scaling.fit(reduce(Moments.__add__, moments))


def _ask(grid: Grid, nodes: list[int], message_type: str, content: RecordDict) -> list[Message]:
    """Send the same question to every node and return the replies.

    Raises:
        RuntimeError: a node answered with an error.
    """
    messages = [Message(content, node, message_type) for node in nodes]
    replies = list(grid.send_and_receive(messages, timeout=600))
    if len(replies) < len(nodes) or any(reply.has_error() for reply in replies):
        reasons = [reply.error.reason for reply in replies if reply.has_error()]
        raise RuntimeError(f"{message_type}: {len(nodes) - len(replies)} nodes did not answer; errors: {reasons}")
    return replies


def _metrics(reply: Message) -> MetricRecord:
    (record,) = reply.content.metric_records.values()
    return record


def _save(arrays: ArrayRecord, scaling: Scaling, task: Task) -> None:
    """Write the model; its one metadata entry says what it predicts from what (several would come in random order)."""
    weights, bias = arrays.to_numpy_ndarrays()
    save_file(
        {"weights": weights, "bias": bias, "mean": scaling.mean, "scale": scaling.scale},
        "model.safetensors",
        metadata={"task": json.dumps(asdict(task))},
    )
