"""What runs have used up at this node, durably: how many were accepted on which day, and what privacy they spend.

The ledger is a hash-chained file of JSON lines, each written to the disk before the run that it is for begins. A run
that is accepted anew, after a crash for example, is charged anew: what it did before cannot be taken back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from pathlib import Path

from datalab.audit.chain import Head
from datalab.audit.entry import Entry
from datalab.audit.log import AuditLog, AuditLogError
from datalab.audit.verification import entries, verify

LEDGER_FILE = "ledger.jsonl"
_ADMITTED = "run admitted"
_ENDED = "run ended"


@dataclass(frozen=True)
class Spending:
    """What one accepted run has used up.

    Attributes:
        run: its id.
        dataset: that it works on.
        epsilon: that it spends of the dataset's privacy budget.
        time: when it was accepted.
    """

    run: str
    dataset: str
    epsilon: Decimal
    time: datetime


class Ledger:
    """The ledger in a node's home; opening it checks all of it.

    Args:
        home: the node's home.

    Raises:
        AuditLogError: the file was changed; the node accepts nothing until its operator has looked into it.
    """

    def __init__(self, home: Path) -> None:
        self._log = AuditLog(home / LEDGER_FILE)
        self._spendings = list(read_spendings(home))
        self._ended = {
            one.details["run"]
            for one in (entries(home / LEDGER_FILE) if (home / LEDGER_FILE).exists() else ())
            if isinstance(one, Entry) and one.event == _ENDED
        }

    @property
    def spendings(self) -> tuple[Spending, ...]:
        """All that was spent, the oldest first."""
        return tuple(self._spendings)

    def has_ended(self, run: str) -> bool:
        """Whether a run that was accepted here has ended: its signed offer may still be shown, and counts no more."""
        return run in self._ended

    def end(self, run: str) -> None:
        """Write to the disk that a run has ended."""
        self._log.append(_ENDED, run=run)
        self._ended.add(run)

    def spend(self, spending: Spending) -> Head:
        """Write a spending to the disk, and return where the ledger stands then."""
        head = self._log.append(
            _ADMITTED,
            run=spending.run,
            dataset=spending.dataset,
            epsilon=str(spending.epsilon),
            accepted=spending.time.isoformat(),
        )
        self._spendings.append(spending)
        return head


def read_spendings(home: Path) -> tuple[Spending, ...]:
    """Return what the ledger in a node's home says, without writing to it; nothing if there is none yet.

    Raises:
        AuditLogError: it was changed.
    """
    path = home / LEDGER_FILE
    if not path.exists():
        return ()
    found = verify(path)
    if not found.intact:
        raise AuditLogError(
            f"The ledger was changed: line {found.problems[0].line} {found.problems[0].what}.",
            where=str(path),
            next_step="Keep the file as evidence. What has been spent is no longer known: put back a copy, or ask the "
            "access body.",
        )
    return tuple(_spending(one) for one in entries(path) if isinstance(one, Entry) and one.event == _ADMITTED)


def runs_on_day(spendings: Iterable[Spending], now: datetime, zone: tzinfo) -> int:
    """Return how many runs were accepted on the day that it is now in ``zone``."""
    return sum(one.time.astimezone(zone).date() == now.astimezone(zone).date() for one in spendings)


def epsilon_spent(spendings: Iterable[Spending], dataset: str) -> Decimal:
    """Return what all runs have spent of a dataset's privacy budget (sequential composition: the sum)."""
    return sum((one.epsilon for one in spendings if one.dataset == dataset), Decimal(0))


def privacy_left(spendings: Iterable[Spending], dataset: str, budget: float | None) -> float | None:
    """Return what is left of a dataset's privacy budget; None where it has none."""
    if budget is None:
        return None
    return float(max(Decimal(str(budget)) - epsilon_spent(spendings, dataset), Decimal(0)))


def _spending(entry: Entry) -> Spending:
    said = entry.details
    return Spending(said["run"], said["dataset"], Decimal(said["epsilon"]), datetime.fromisoformat(said["accepted"]))
