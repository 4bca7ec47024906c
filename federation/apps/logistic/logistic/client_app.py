"""What runs where the data is: moments, training, evaluation, and the final report of one site."""

from __future__ import annotations

import random

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, MetricRecordValues, RecordDict
from flwr.clientapp import ClientApp

from logistic.data import Site, Task, read_site
from logistic.model import descend, log_loss, predict
from logistic.shared.disclosure import minimum_cell, require_at_least
from logistic.shared.evaluation import accuracy, auc_interval
from logistic.shared.privacy import private_updates
from logistic.shared.scaling import Moments, Scaling

app = ClientApp(mods=[private_updates])


def _site(context: Context) -> Site:
    """Return the site's rows; raises ValueError where they are too few to say anything about."""
    config = context.run_config
    site = read_site(
        str(context.node_config["dataset"]),
        Task.of(config),
        test_share=float(config["test-share"]),
        seed=int(config["split-seed"]),
        held_out=str(config["held-out-column"]),
    )
    require_at_least(min(len(site.y_train), len(site.y_test)), minimum_cell(config), "rows to train, or to test, on")
    return site


def _common_scaling(message: Message) -> Scaling:
    config = message.content.config_records["config"]
    return Scaling(np.array(config["mean"], dtype=np.float64), np.array(config["scale"], dtype=np.float64))


def _scaling(message: Message, context: Context, site: Site) -> Scaling:
    """Return how the model is to see this site's rows: as all sites together are scaled, or as this site alone is."""
    if context.run_config["scaling"] == "site":
        return Scaling.fit(Moments.of(site.x_train))
    return _common_scaling(message)


def _rng() -> np.random.Generator:
    """Return a generator of this node and round: ``random`` is seeded from the run's seed."""
    return np.random.default_rng(random.getrandbits(63))


@app.query("moments")
def moments(message: Message, context: Context) -> Message:
    """Return counts, sums and sums of squares of the training rows, per feature."""
    site = Moments.of(_site(context).x_train)
    metrics = MetricRecord(
        {"count": site.count.tolist(), "total": site.total.tolist(), "squares": site.squares.tolist()}
    )
    return Message(RecordDict({"moments": metrics}), reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Take some steps from the model received, on the site's training rows."""
    site, config = _site(context), context.run_config
    x = _scaling(message, context, site).apply(site.x_train)
    weights, bias = message.content.array_records["arrays"].to_numpy_ndarrays()
    weights, bias = descend(
        weights,
        bias,
        x,
        site.y_train,
        steps=int(config["local-steps"]),
        rate=float(config["learning-rate"]),
        l2=float(config["l2"]),
        batch=int(config["batch-size"]),
        proximal=float(message.content.config_records["config"].get("proximal-mu", 0.0)),  # type: ignore[arg-type]
        rng=_rng(),
    )
    metrics = MetricRecord({"loss": log_loss(weights, bias, x, site.y_train), "num-examples": len(site.y_train)})
    return Message(
        RecordDict({"arrays": ArrayRecord({"weights": Array(weights), "bias": Array(bias)}), "metrics": metrics}),
        reply_to=message,
    )


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Return the loss of the model received on the site's held-out rows."""
    site = _site(context)
    weights, bias = message.content.array_records["arrays"].to_numpy_ndarrays()
    loss = log_loss(weights, bias, _scaling(message, context, site).apply(site.x_test), site.y_test)
    return Message(
        RecordDict({"metrics": MetricRecord({"loss": loss, "num-examples": len(site.y_test)})}),
        reply_to=message,
    )


@app.query("report")
def report(message: Message, context: Context) -> Message:
    """Return AUC and accuracy on held-out rows, of the federated model and of a model trained on this site alone.

    Where each site scales by itself, the accuracy under the common scaling is reported as well. An AUC is of pairs, one
    with and one without the event: where fewer than ``minimum-cell`` rows are of one kind, there is none.
    """
    site, config = _site(context), context.run_config
    resamples, seed = int(config["bootstrap"]), int(config["split-seed"])
    events = int(site.y_test.sum())
    enough = min(events, len(site.y_test) - events) >= minimum_cell(config)
    weights, bias = message.content.array_records["arrays"].to_numpy_ndarrays()
    federated = predict(weights, bias, _scaling(message, context, site).apply(site.x_test))

    own = Scaling.fit(Moments.of(site.x_train))
    own_weights, own_bias = descend(
        np.zeros_like(weights),
        np.zeros(1),
        own.apply(site.x_train),
        site.y_train,
        steps=int(config["num-server-rounds"]) * int(config["local-steps"]),
        rate=float(config["learning-rate"]),
        l2=float(config["l2"]),
        batch=int(config["batch-size"]),
        rng=_rng(),
    )
    local = predict(own_weights, own_bias, own.apply(site.x_test))
    metrics: dict[str, MetricRecordValues] = {
        f"{name}-{key}": value
        for name, score in (("federated", federated), ("local", local))
        for key, value in {
            **(auc_interval(score, site.y_test, resamples=resamples, seed=seed) if enough else {}),
            "accuracy": accuracy(score, site.y_test),
        }.items()
    }
    common = predict(weights, bias, _common_scaling(message).apply(site.x_test))
    metrics["common-accuracy"] = accuracy(common, site.y_test)
    metrics["num-examples"] = len(site.y_test)
    return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)
