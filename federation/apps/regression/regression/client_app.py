"""What runs where the data is: a description of the features, one site's sums for a step, and its evaluation."""

from __future__ import annotations

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from regression.model import Sums, mean_and_variance
from regression.shared.disclosure import minimum_cell, require_at_least
from regression.shared.evaluation import evaluate_site
from regression.shared.features import Features, Table, Wanted, read_complete
from regression.shared.scaling import Floats

app = ClientApp()


def _table(context: Context) -> Table:
    """Return the rows that have an outcome (and an exposure, where one is asked for)."""
    config = context.run_config
    needed = tuple(filter(None, [str(config["outcome"]), str(config["exposure"])]))
    return read_complete(str(context.node_config["dataset"]), Wanted.of(config).features, needed)


def _rows(message: Message, context: Context) -> tuple[Floats, Floats, Floats]:
    """Return design, outcome and offset of the rows that are used.

    Raises:
        ValueError: they are too few, or the outcome is not what the family needs.
    """
    config, table = context.run_config, _table(context)
    k = minimum_cell(config)
    features = Features.of(Wanted.of(config), message.content.config_records["features"])
    x = features.matrix(table, k)
    y = table[str(config["outcome"])]
    exposure = table[str(config["exposure"])] if config["exposure"] else np.ones(len(y))
    kept = ~np.isnan(x).any(axis=1) if config["missing"] == "drop" else np.ones(len(y), dtype=bool)
    x, y, exposure = features.scaling.apply(x[kept]), y[kept], exposure[kept]
    require_at_least(len(y) - x.shape[1], k, "rows beyond the number of columns")
    if config["family"] == "binomial":
        if not np.isin(y, (0, 1)).all():
            raise ValueError("The outcome of a logistic regression is 0 or 1.")
        require_at_least(int(min(y.sum(), len(y) - y.sum())), k, "rows with, or without, the event")
    return np.column_stack([np.ones(len(y)), x]), y, np.log(exposure)


@app.query("prepare")
def prepare(message: Message, context: Context) -> Message:
    """Return moments of the numeric features, and the levels of the others."""
    reply = Wanted.of(context.run_config).describe(_table(context), minimum_cell(context.run_config))
    return Message(reply, reply_to=message)


@app.query("step")
def step(message: Message, context: Context) -> Message:
    """Return information, score and deviance at the coefficients received."""
    (beta,) = message.content.array_records["beta"].to_numpy_ndarrays()
    sums = Sums.of(str(context.run_config["family"]), beta, *_rows(message, context))
    arrays = ArrayRecord({"information": Array(sums.information), "score": Array(sums.score)})
    metrics = MetricRecord({"deviance": sums.deviance, "rows": sums.rows})
    return Message(RecordDict({"sums": arrays, "metrics": metrics}), reply_to=message)


@app.query("evaluate")
def evaluate(message: Message, context: Context) -> Message:
    """Return AUC and calibration of the logistic model received, on the rows that it was fitted to."""
    (beta,) = message.content.array_records["beta"].to_numpy_ndarrays()
    design, y, offset = _rows(message, context)
    fitted, _ = mean_and_variance("binomial", design @ beta + offset)
    metrics = evaluate_site(fitted, y, resamples=int(context.run_config["bootstrap"]), seed=0)
    return Message(RecordDict({"metrics": MetricRecord(dict(metrics))}), reply_to=message)
