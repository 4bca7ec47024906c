"""What runs where the data is: features, a new tree, and how good the model is on held-out rows."""

from __future__ import annotations

import random

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from trees.model import boost, coarsen, predict
from trees.shared.disclosure import minimum_cell, require_at_least
from trees.shared.evaluation import evaluate_site
from trees.shared.features import Features, Table, Wanted, read_complete
from trees.shared.holdout import split
from trees.shared.scaling import Floats

app = ClientApp()


def _table(context: Context) -> Table:
    """Return the rows that have an outcome."""
    wanted = Wanted.of(context.run_config).features
    return read_complete(str(context.node_config["dataset"]), wanted, [str(context.run_config["outcome"])])


def _rows(message: Message, context: Context, *, test: bool) -> tuple[Floats, Floats]:
    """Return features and outcome of the rows to train, or to test, on.

    Raises:
        ValueError: they are too few.
    """
    config, table, k = context.run_config, _table(context), minimum_cell(context.run_config)
    features = Features.of(Wanted.of(config), message.content.config_records["config"])
    x, y = coarsen(features.matrix(table, k), features.scaling), table[str(config["outcome"])]
    train, held_out = split(y, share=float(config["test-share"]), seed=int(config["split-seed"]))
    rows = held_out if test else train
    require_at_least(int(min(y[rows].sum(), len(rows) - y[rows].sum())), k, "rows with, or without, the event")
    return x[rows], y[rows]


def _model(message: Message) -> bytes:
    return bytes(message.content.array_records["arrays"]["0"].numpy().tobytes())


@app.query("prepare")
def prepare(message: Message, context: Context) -> Message:
    """Return moments of the numeric features, and the levels of the others."""
    reply = Wanted.of(context.run_config).describe(_table(context), minimum_cell(context.run_config))
    return Message(reply, reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Return the site's new tree; all sites add theirs at once, so each has its share of the learning rate."""
    config = context.run_config
    x, y = _rows(message, context, test=False)
    sites = float(message.content.config_records["config"]["sites"])  # type: ignore[arg-type]
    grown = boost(
        _model(message),
        x,
        y,
        depth=int(config["depth"]),
        rate=float(config["learning-rate"]) / sites,
        subsample=float(config["subsample"]),
        k=minimum_cell(config),
        seed=random.getrandbits(31),
    )
    return Message(
        RecordDict(
            {
                "arrays": ArrayRecord([np.frombuffer(grown, dtype=np.uint8)]),
                "metrics": MetricRecord({"num-examples": len(y)}),
            }
        ),
        reply_to=message,
    )


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Return the mean negative log-likelihood on held-out rows."""
    x, y = _rows(message, context, test=True)
    score = np.clip(predict(_model(message), x), 1e-7, 1 - 1e-7)
    loss = float(-np.mean(np.where(y == 1, np.log(score), np.log(1 - score))))
    return Message(
        RecordDict({"metrics": MetricRecord({"loss": loss, "num-examples": len(y)})}),
        reply_to=message,
    )


@app.query("report")
def report(message: Message, context: Context) -> Message:
    """Return AUC and calibration on held-out rows."""
    config = context.run_config
    x, y = _rows(message, context, test=True)
    found = evaluate_site(
        predict(_model(message), x), y, resamples=int(config["bootstrap"]), seed=int(config["split-seed"])
    )
    return Message(RecordDict({"metrics": MetricRecord(dict(found))}), reply_to=message)
