"""What runs where the data is: features, a grid that is wide enough, counts on it, and risk-set sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from survival.grid import MOST_TIMES, Counts, Ints, place, widen
from survival.model import RiskSums
from survival.shared.disclosure import minimum_cell, require_at_least
from survival.shared.features import Features, Table, Wanted, read_complete
from survival.shared.scaling import Floats

app = ClientApp()


@dataclass(frozen=True)
class Rows:
    """The rows that are used: those with time, event, group and every feature.

    Attributes:
        x: scaled features, ``(rows, columns)``.
        time: of event or censoring.
        event: 1 or 0.
        group: number of the group.
        groups: how many there are.
    """

    x: Floats
    time: Floats
    event: Floats
    group: Ints
    groups: int


def grouping(context: Context) -> Wanted:
    """Return the column by which survival is told apart, if any."""
    columns = tuple(filter(None, [str(context.run_config["group"])]))
    return Wanted(columns, columns, ())


def _table(context: Context) -> Table:
    """Return the rows that have time and event.

    Raises:
        ValueError: a time is negative, or an event other than 0 or 1.
    """
    config = context.run_config
    needed = (str(config["time"]), str(config["event"]))
    columns = (*Wanted.of(config).features, *grouping(context).features)
    table = read_complete(str(context.node_config["dataset"]), columns, needed)
    if (table[needed[0]] < 0).any() or not np.isin(table[needed[1]], (0, 1)).all():
        raise ValueError("Times must not be negative, and events are 0 or 1.")
    return table


def _rows(message: Message, context: Context) -> Rows:
    config, table, k = context.run_config, _table(context), minimum_cell(context.run_config)
    records = message.content.config_records
    features = Features.of(Wanted.of(config), records["features"])
    groups = Features.of(grouping(context), records["groups"])
    x, marks = features.matrix(table, k), groups.matrix(table, k)
    kept = ~np.isnan(x).any(axis=1) & ~np.isnan(marks).any(axis=1)
    require_at_least(int(kept.sum()) - x.shape[1], k, "rows beyond the number of columns")
    number = marks[kept] @ np.arange(1, marks.shape[1] + 1)
    time, event = (table[str(config[name])][kept] for name in ("time", "event"))
    return Rows(features.scaling.apply(x[kept]), time, event, number.astype(np.int64), marks.shape[1] + 1)


def _grid(message: Message) -> Floats:
    """Return the times received.

    Raises:
        ValueError: they are too many, or not in order.
    """
    times = np.array(message.content.config_records["grid"]["times"], dtype=np.float64)
    if not 0 < len(times) <= MOST_TIMES or times[0] <= 0 or (np.diff(times) <= 0).any():
        raise ValueError(f"A grid is at most {MOST_TIMES} times above 0, in rising order.")
    return times


@app.query("prepare")
def prepare(message: Message, context: Context) -> Message:
    """Return moments of the numeric features, and the levels of the others."""
    reply = Wanted.of(context.run_config).describe(_table(context), minimum_cell(context.run_config))
    return Message(reply, reply_to=message)


@app.query("groups")
def groups(message: Message, context: Context) -> Message:
    """Return the groups, and how many rows each has."""
    return Message(grouping(context).describe(_table(context), minimum_cell(context.run_config)), reply_to=message)


@app.query("widen")
def widened(message: Message, context: Context) -> Message:
    """Return those of the times received between which no count here is small."""
    rows = _rows(message, context)
    masks = [rows.group == number for number in range(rows.groups)]
    times = widen(rows.time, rows.event, masks, _grid(message), minimum_cell(context.run_config))
    return Message(RecordDict({"grid": ConfigRecord({"times": times.tolist()})}), reply_to=message)


def _check(rows: Rows, message: Message, context: Context) -> tuple[Ints, Floats, Floats]:
    """Return interval and event of each row, and the grid, which must be wide enough for this site.

    Raises:
        ValueError: it is not.
    """
    grid = _grid(message)
    masks = [rows.group == number for number in range(rows.groups)]
    if not np.array_equal(widen(rows.time, rows.event, masks, grid, minimum_cell(context.run_config)), grid):
        raise ValueError("Between the times asked for, there are too few events or withdrawals here.")
    return *place(rows.time, rows.event, grid), grid


@app.query("counts")
def counts(message: Message, context: Context) -> Message:
    """Return how many have the event, and how many are censored, in each interval and group."""
    rows = _rows(message, context)
    interval, event, grid = _check(rows, message, context)
    by_group = [
        Counts.of(interval[rows.group == one], event[rows.group == one], len(grid)) for one in range(rows.groups)
    ]
    arrays = ArrayRecord(
        {
            "events": Array(np.stack([one.events for one in by_group])),
            "left": Array(np.stack([one.left for one in by_group])),
        }
    )
    return Message(RecordDict({"counts": arrays}), reply_to=message)


@app.query("risk")
def risk(message: Message, context: Context) -> Message:
    """Return the sums over who is at risk at each time, at the coefficients received."""
    rows = _rows(message, context)
    interval, event, grid = _check(rows, message, context)
    (beta,) = message.content.array_records["beta"].to_numpy_ndarrays()
    sums = RiskSums.of(beta, rows.x, interval, event, len(grid))
    arrays = {"zero": sums.zero, "first": sums.first, "second": sums.second, "of_events": sums.of_events}
    return Message(
        RecordDict({"risk": ArrayRecord({name: Array(one) for name, one in arrays.items()})}), reply_to=message
    )
