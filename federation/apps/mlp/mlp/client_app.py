"""What runs where the data is: features, training, and how good the model is on held-out rows."""

from __future__ import annotations

import random

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from mlp.network import build, widths
from mlp.shared.disclosure import minimum_cell, require_at_least
from mlp.shared.evaluation import evaluate_site
from mlp.shared.features import Features, Table, Wanted, read_complete
from mlp.shared.holdout import split
from mlp.shared.privacy import private_updates
from mlp.shared.scaling import Floats

app = ClientApp(mods=[private_updates])


def _table(context: Context) -> Table:
    """Return the rows that have an outcome."""
    wanted = Wanted.of(context.run_config).features
    return read_complete(str(context.node_config["dataset"]), wanted, [str(context.run_config["outcome"])])


def _settings(message: Message) -> ConfigRecord:
    return message.content.config_records["config"]


def _rows(message: Message, context: Context, *, test: bool) -> tuple[Floats, Floats]:
    """Return features (imputed, scaled) and outcome of the rows to train, or to test, on.

    Raises:
        ValueError: they are too few.
    """
    config, table, k = context.run_config, _table(context), minimum_cell(context.run_config)
    features = Features.of(Wanted.of(config), _settings(message))
    x, y = features.scaling.apply(features.matrix(table, k)), table[str(config["outcome"])]
    train, held_out = split(y, share=float(config["test-share"]), seed=int(config["split-seed"]))
    rows = held_out if test else train
    require_at_least(int(min(y[rows].sum(), len(rows) - y[rows].sum())), k, "rows with, or without, the event")
    return x[rows], y[rows]


def _network(message: Message, context: Context, columns: int) -> torch.nn.Sequential:
    torch.set_num_threads(1)  # sums in one order: the same seed gives the same parameters
    return build(widths(context.run_config["hidden"], columns), message.content.array_records["arrays"])


def _predict(network: torch.nn.Sequential, x: Floats) -> Floats:
    device = next(network.parameters()).device
    with torch.no_grad():
        margin = network(torch.from_numpy(x.astype(np.float32)).to(device))
    return np.asarray(torch.sigmoid(margin).squeeze(1).cpu().numpy(), dtype=np.float64)


@app.query("prepare")
def prepare(message: Message, context: Context) -> Message:
    """Return moments of the numeric features, and the levels of the others."""
    reply = Wanted.of(context.run_config).describe(_table(context), minimum_cell(context.run_config))
    return Message(reply, reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Go through the site's training rows some times, and return the weights and biases."""
    config = context.run_config
    x, y = _rows(message, context, test=False)
    network = _network(message, context, x.shape[1])
    device = next(network.parameters()).device
    rows, labels = (torch.from_numpy(one.astype(np.float32)).to(device) for one in (x, y[:, None]))
    order = torch.Generator().manual_seed(random.getrandbits(63))
    optimiser = torch.optim.Adam(network.parameters(), lr=float(config["learning-rate"]))
    for _ in range(int(config["local-epochs"])):
        for batch in torch.randperm(len(y), generator=order).to(device).split(int(config["batch-size"])):
            optimiser.zero_grad()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(network(rows[batch]), labels[batch])
            loss.backward()
            optimiser.step()
    arrays = ArrayRecord({name: Array(value.cpu().numpy()) for name, value in network.state_dict().items()})
    return Message(RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": len(y)})}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Return the mean negative log-likelihood on held-out rows."""
    x, y = _rows(message, context, test=True)
    score = np.clip(_predict(_network(message, context, x.shape[1]), x), 1e-7, 1 - 1e-7)
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
    score = _predict(_network(message, context, x.shape[1]), x)
    found = evaluate_site(score, y, resamples=int(config["bootstrap"]), seed=int(config["split-seed"]))
    return Message(RecordDict({"metrics": MetricRecord(dict(found))}), reply_to=message)
