"""How a run goes, in a notebook: one place that changes as it does; elsewhere, a line for each change."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from catalog.progress import Progress

SHOWN = 10
"""Rounds in the table; the newest."""


def as_html(goes: Progress) -> str:
    """Return how a run goes as HTML, in which nothing that an app or a node has said is markup."""
    parts = [f"<p><strong>{escape(goes.id)}</strong>: {escape(summary(goes))}</p>"]
    if goes.rounds_asked and not goes.over:
        done = max(0, len(goes.rounds) - 1)
        parts.append(f'<progress max="{goes.rounds_asked}" value="{done}">{done} of {goes.rounds_asked}</progress>')
    if goes.rounds:
        names = goes.metrics
        rows = [("Round", "Loss", *names, "Seconds")]
        rows += [
            (
                str(one.number),
                _figure(one.loss),
                *(_figure(one.metrics.get(name)) for name in names),
                f"{one.seconds:.2f}",
            )
            for one in goes.rounds[-SHOWN:]
        ]
        parts.append(_table(rows))
    if goes.nodes:
        told = [("Node", "Answers", "Drop-outs", "Last")]
        told += [(one.name, str(one.replies), str(one.errors), one.error or "") for one in goes.nodes]
        parts.append(_table(told))
    return "".join(parts)


def summary(goes: Progress) -> str:
    """Return how a run goes in one line."""
    said = str(goes.state)
    if goes.waiting:
        said += f". It waits: {goes.waiting}"
    if goes.rounds:
        asked = f" of {goes.rounds_asked}" if goes.rounds_asked else ""
        said += f", round {goes.rounds[-1].number}{asked}, loss {_figure(goes.rounds[-1].loss)}"
    return f"{said}. {goes.reason}" if goes.reason else said


def show(updates: Iterator[Progress]) -> Progress:
    """Show how a run goes until it is over, and return how it went."""
    display = _notebook()
    handle, last = None, None
    for goes in updates:
        if display is None:
            sys.stdout.write(f"{goes.id}: {summary(goes)}\n")
        elif handle is None:
            handle = display(_Shown(goes), display_id=True)
        else:
            handle.update(_Shown(goes))
        last = goes
    assert last is not None, "watching yields at least once"
    return last


class _Shown:
    """What IPython asks how it is to be shown; a terminal of IPython's takes the text."""

    def __init__(self, goes: Progress) -> None:
        self._goes = goes

    def __repr__(self) -> str:
        return f"{self._goes.id}: {summary(self._goes)}"

    def _repr_html_(self) -> str:
        return as_html(self._goes)


def _notebook() -> Any:
    """Return IPython's ``display`` where this runs in its shell, which nothing here needs; None elsewhere."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython  # type: ignore[import-not-found, unused-ignore]
    from IPython.display import display  # type: ignore[import-not-found, unused-ignore]

    return display if get_ipython() is not None else None


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    head, *body = rows
    lines = [f"<tr>{''.join(f'<th>{escape(one)}</th>' for one in head)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{escape(one)}</td>' for one in row)}</tr>" for row in body]
    return f"<table>{''.join(lines)}</table>"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
