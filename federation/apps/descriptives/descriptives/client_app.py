"""What runs where the data is: everything that a site says is said at once, and suppressed before."""

from __future__ import annotations

from collections import Counter

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from descriptives.histogram import Floats, Histogram
from descriptives.settings import Settings
from descriptives.shared.disclosure import minimum_cell, require_at_least
from descriptives.shared.features import Table, level_texts, read_columns
from descriptives.shared.scaling import Moments
from descriptives.suppression import Mask, hide_in_list, hide_in_table

app = ClientApp()
HIDDEN = -1
"""Stands for a count that is not said."""


@app.query("describe")
def describe(message: Message, context: Context) -> Message:
    """Return moments, cross products, histograms, counts of levels and tables."""
    settings, k = Settings.of(context.run_config), minimum_cell(context.run_config)
    table = read_columns(str(context.node_config["dataset"]), (*settings.numeric, *settings.categorical))
    rows = len(next(iter(table.values())))
    require_at_least(rows, k, "rows")
    reply = RecordDict({"rows": ConfigRecord({"rows": rows})})
    _add_numbers(reply, table, settings, k)
    _add_levels(reply, table, settings, k)
    return Message(reply, reply_to=message)


def _add_numbers(reply: RecordDict, table: Table, settings: Settings, k: int) -> None:
    if not settings.numeric:
        return
    x = np.column_stack([table[name] for name in settings.numeric])
    complete = ~np.isnan(x).any(axis=1)
    if settings.correlations:
        # Two sums over nearly the same rows would tell the few rows between them apart.
        more = (~np.isnan(x)).sum(axis=0) - complete.sum()
        x[np.ix_(~complete, (more > 0) & (more < k))] = np.nan
        whole = x[complete] if complete.sum() >= k else x[:0]
        reply["cross"] = ArrayRecord(
            {"rows": Array(np.array([len(whole)])), "total": Array(whole.sum(axis=0)), "cross": Array(whole.T @ whole)}
        )
    moments = Moments.of(x)
    shown = moments.count >= k
    sums: dict[str, Floats] = {"count": moments.count, "total": moments.total, "squares": moments.squares}
    reply["moments"] = ArrayRecord({name: Array(np.where(shown, one, 0.0)) for name, one in sums.items()})
    for name in settings.bounds:
        values = x[:, settings.numeric.index(name)]
        histogram = Histogram.of(values[~np.isnan(values)], settings.edges(name), k)
        reply[f"histogram-{name}"] = ArrayRecord({"edges": Array(histogram.edges), "counts": Array(histogram.counts)})


def _add_levels(reply: RecordDict, table: Table, settings: Settings, k: int) -> None:
    texts = {name: level_texts(table[name]) for name in settings.categorical}
    levels = {name: sorted(Counter(values.tolist())) for name, values in texts.items()}
    hidden: dict[str, Mask] = {}
    for name, values in texts.items():
        counts = np.array([int((values == level).sum()) for level in levels[name]], dtype=np.int64)
        hidden[name] = hide_in_list(counts, k)
        shown = np.where(hidden[name], HIDDEN, counts)
        reply[f"levels-{name}"] = ConfigRecord(
            {
                "levels": [level for level, one in zip(levels[name], shown, strict=True) if one != HIDDEN],
                "counts": shown[shown != HIDDEN].tolist(),
                "hidden": bool(hidden[name].any()),
            }
        )
    for row, column in settings.tables:
        counts = np.array(
            [[int(((texts[row] == r) & (texts[column] == c)).sum()) for c in levels[column]] for r in levels[row]],
            dtype=np.int64,
        )
        masked = np.where(hide_in_table(counts, k, hidden[row][:, None] | hidden[column][None, :]), HIDDEN, counts)[
            ~hidden[row]
        ][:, ~hidden[column]]
        reply[f"table-{row}:{column}"] = ConfigRecord({"counts": masked.ravel().tolist()})
