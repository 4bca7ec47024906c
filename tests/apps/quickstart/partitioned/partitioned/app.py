"""Logistic regression by scikit-learn; each node takes its part of one table, the later ones the larger parts."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

client = ClientApp()
server = ServerApp()
FEATURES, ROWS = 5, 240


def part_of(context: Context) -> tuple[np.ndarray, np.ndarray]:
    """Return features and labels of this node's part."""
    number, parts = int(context.node_config["partition-id"]), int(context.node_config["num-partitions"])
    rng = np.random.default_rng(5)
    x = rng.standard_normal((ROWS, FEATURES))
    y = (x.sum(axis=1) + rng.standard_normal(ROWS) > 0).astype(int)
    ends = np.cumsum(np.arange(parts + 1)) * ROWS // sum(range(parts + 1))
    return x[ends[number] : ends[number + 1]], y[ends[number] : ends[number + 1]]


def model_of(message: Message) -> LogisticRegression:
    """Return a model that goes on from the parameters that came."""
    model = LogisticRegression(max_iter=2, warm_start=True)
    model.classes_ = np.array([0, 1])
    model.coef_, model.intercept_ = (one.copy() for one in message.content.array_records["arrays"].to_numpy_ndarrays())
    return model


@client.train()
def train(message: Message, context: Context) -> Message:
    """Return the parameters after two iterations on this node's part."""
    x, y = part_of(context)
    model = model_of(message)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, y)
    content = {
        "arrays": ArrayRecord([model.coef_, model.intercept_]),
        "metrics": MetricRecord({"num-examples": len(x)}),
    }
    return Message(RecordDict(content), reply_to=message)


@client.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Return the share of right answers on this node's part."""
    x, y = part_of(context)
    metrics = MetricRecord({"num-examples": len(x), "accuracy": float(model_of(message).score(x, y))})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Train for three rounds; save the parameters and each round's accuracy."""
    initial = ArrayRecord([np.zeros((1, FEATURES)), np.zeros(1)])
    result = FedAvg().start(grid, initial, num_rounds=3)
    coefficients, intercept = result.arrays.to_numpy_ndarrays()
    accuracy = [float(one["accuracy"]) for _, one in sorted(result.evaluate_metrics_clientapp.items())]
    out = Path(str(context.run_config["out"])) / "result.npz"
    np.savez(out, coefficients=coefficients, intercept=intercept, accuracy=accuracy)
