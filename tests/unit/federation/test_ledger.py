"""The ledger: what is on it was spent, whatever happened to the process that wrote it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from datalab.audit.log import AuditLogError
from federation.node.ledger import LEDGER_FILE, Ledger, Spending, epsilon_spent, read_spendings

SPENDING = Spending("run-1", "registry", Decimal("0.1"), datetime(2026, 11, 23, 12, tzinfo=UTC))
ENDLESS = """
import sys
from dataclasses import replace
from pathlib import Path
from federation.node.ledger import Ledger
from tests.unit.federation.test_ledger import SPENDING

ledger = Ledger(Path(sys.argv[1]))
for number in range(100_000):
    ledger.spend(replace(SPENDING, run=f"run-{number}"))
    print(number, flush=True)
"""


def test_what_was_spent_is_known_after_a_restart(tmp_path: Path) -> None:
    assert read_spendings(tmp_path) == ()
    assert not (tmp_path / LEDGER_FILE).exists()
    ledger = Ledger(tmp_path)
    ledger.spend(SPENDING)
    ledger.spend(SPENDING)
    assert Ledger(tmp_path).spendings == read_spendings(tmp_path) == ledger.spendings == (SPENDING, SPENDING)
    assert epsilon_spent(ledger.spendings, "registry") == Decimal("0.2")
    assert (tmp_path / LEDGER_FILE).stat().st_mode & 0o777 == 0o600


def test_a_kill_in_the_middle_of_spending_loses_nothing_that_was_spent(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS, tmp_path], stdout=subprocess.PIPE, text=True, cwd=root
    ) as spender:
        assert spender.stdout is not None
        said = [spender.stdout.readline() for _ in range(20)]
        spender.kill()
        said += spender.stdout.readlines()
    known = [one.run for one in Ledger(tmp_path).spendings]
    assert known[: len(said)] == [f"run-{number}" for number in range(len(said))]
    assert len(said) >= 20
    assert len(known) - len(said) in (0, 1)


@pytest.mark.parametrize("change", [(b'"0.1"', b'"0.0"'), (b"registry", b"register")])
def test_a_changed_ledger_is_refused(tmp_path: Path, change: tuple[bytes, bytes]) -> None:
    ledger = Ledger(tmp_path)
    ledger.spend(SPENDING)
    ledger.spend(SPENDING)
    path = tmp_path / LEDGER_FILE
    path.write_bytes(path.read_bytes().replace(*change, 1))
    for opened in (Ledger, read_spendings):
        with pytest.raises(AuditLogError, match="line 1 was changed"):
            opened(tmp_path)
