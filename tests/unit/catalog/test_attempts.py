from __future__ import annotations

from pathlib import Path

import pytest

from catalog.attempts import PER_ACCOUNT, PER_ADDRESS, WINDOW, Attempts
from catalog.errors import TooManyAttemptsError


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_an_account_is_locked_after_its_last_attempt_and_for_a_while() -> None:
    attempts = Attempts(clock := Clock())
    assert [attempts.begin("rosa", f"10.0.0.{one}") for one in range(PER_ACCOUNT)] == [False] * (PER_ACCOUNT - 1) + [
        True
    ]
    with pytest.raises(TooManyAttemptsError, match="too many attempts"):
        attempts.begin("rosa", "10.0.1.1")
    assert not attempts.begin("stella", "10.0.0.1")
    clock.now += WINDOW
    assert not attempts.begin("rosa", "10.0.1.1")


def test_an_address_that_tries_many_accounts_is_locked() -> None:
    attempts = Attempts(Clock())
    for one in range(PER_ADDRESS):
        attempts.begin(f"account-{one}", "10.0.0.1")
    with pytest.raises(TooManyAttemptsError):
        attempts.begin("another", "10.0.0.1")
    assert not attempts.begin("another", "10.0.0.2")


def test_success_forgets_the_accounts_failures_and_only_its_own_of_the_address() -> None:
    attempts = Attempts(Clock())
    for _ in range(PER_ACCOUNT - 1):
        attempts.begin("rosa", "10.0.0.1")
    attempts.begin("rosa", "10.0.0.1")
    attempts.succeeded("rosa", "10.0.0.1")
    assert not attempts.begin("rosa", "10.0.0.1")
    for one in range(PER_ADDRESS - PER_ACCOUNT):
        attempts.begin(f"account-{one}", "10.0.0.1")
    with pytest.raises(TooManyAttemptsError):
        attempts.begin("stella", "10.0.0.1")


def test_what_is_remembered_is_bounded() -> None:
    attempts = Attempts(Clock())
    for one in range(12_000):
        attempts.begin(f"account-{one}", f"10.0.{one // 256}.{one % 256}")
    assert len(attempts._failures) <= 10_000


def test_a_restart_forgets_nothing_that_counts_and_keeps_nothing_else(tmp_path: Path) -> None:
    clock, file = Clock(), tmp_path / "attempts.jsonl"
    before = Attempts(clock, file)
    before.begin("old", "10.0.0.9")
    clock.now += WINDOW
    for one in range(PER_ACCOUNT):
        before.begin("rosa", f"10.0.0.{one}")
    before.begin("stella", "10.0.0.1")
    before.succeeded("stella", "10.0.0.1")
    after = Attempts(clock, file)
    with pytest.raises(TooManyAttemptsError):
        after.begin("rosa", "10.0.1.1")
    assert "account stella" not in after._failures
    assert list(after._failures["from 10.0.0.1"]) == [clock.now]  # rosa's, and not stella's
    assert "old" not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    clock.now += WINDOW
    assert not Attempts(clock, file).begin("rosa", "10.0.1.1")
