"""What runs where the data is: features, and one site's sums for each group."""

from __future__ import annotations

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from kmeans.shared.disclosure import minimum_cell, require_at_least
from kmeans.shared.features import Features, Table, Wanted, read_columns

app = ClientApp()


def _table(context: Context) -> Table:
    return read_columns(str(context.node_config["dataset"]), Wanted.of(context.run_config).features)


@app.query("prepare")
def prepare(message: Message, context: Context) -> Message:
    """Return moments of the numeric features, and the levels of the others."""
    reply = Wanted.of(context.run_config).describe(_table(context), minimum_cell(context.run_config))
    return Message(reply, reply_to=message)


@app.query("step")
def step(message: Message, context: Context) -> Message:
    """Return, for each centre received, how many rows are nearest to it, their sum and squared distances from it.

    A group with fewer than ``minimum-cell`` rows here is said to have none. Missing values are filled with the mean of
    all sites.
    """
    k = minimum_cell(context.run_config)
    features = Features.of(Wanted.of(context.run_config), message.content.config_records["features"])
    x = features.scaling.apply(features.matrix(_table(context), k))
    require_at_least(len(x), k, "rows")
    (centres,) = message.content.array_records["centres"].to_numpy_ndarrays()
    distance = ((x[:, None, :] - centres[None, :, :]) ** 2).sum(axis=2)
    nearest = distance.argmin(axis=1)
    counts = np.bincount(nearest, minlength=len(centres))
    shown = counts >= k
    member = (nearest[:, None] == np.arange(len(centres))) & shown
    sums = {
        "counts": np.where(shown, counts, 0),
        "totals": member.T.astype(np.float64) @ x,
        "squares": (distance * member).sum(axis=0),
    }
    return Message(
        RecordDict({"sums": ArrayRecord({name: Array(one) for name, one in sums.items()})}), reply_to=message
    )
