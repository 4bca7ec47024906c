"""When a member renews its certificate: at two thirds of its life, and never in circles."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from federation.enrolment.renewal import LONGEST_RETRY, seconds_until_renewal, seconds_until_retry
from federation.pki.identity import BACKDATED, Holder, Identity, Role
from federation.pki.registry import MAX_CERTIFICATES

WEEK = timedelta(days=7)


def issued(ago: timedelta) -> Holder:
    """A certificate of a week, issued so long ago by the clock of this machine."""
    begins = datetime.now(UTC) - ago
    return Holder(Identity("datalab.test", Role.NODE, "one"), "1", begins - BACKDATED, begins + WEEK, "a" * 64)


def test_at_two_thirds_of_its_life_or_a_little_before() -> None:
    for just_renewed in (True, False):
        wait = timedelta(seconds=seconds_until_renewal(issued(timedelta(0)), just_renewed=just_renewed))
        assert 0.95 * WEEK * 2 / 3 - timedelta(seconds=1) <= wait <= WEEK * 2 / 3


def test_one_that_is_overdue_is_renewed_at_once() -> None:
    assert seconds_until_renewal(issued(timedelta(days=6)), just_renewed=False) == 0


def test_by_a_clock_that_is_days_ahead_it_is_not_renewed_oftener_than_the_gateway_allows() -> None:
    wait = timedelta(seconds=seconds_until_renewal(issued(timedelta(days=6)), just_renewed=True))
    assert wait * MAX_CERTIFICATES >= WEEK / 10


@pytest.mark.parametrize(
    ("left", "wait"), [(timedelta(days=2), LONGEST_RETRY), (timedelta(minutes=1), 6.0), (timedelta(seconds=-5), 1.0)]
)
def test_a_failed_renewal_is_tried_again_several_times_in_what_is_left(left: timedelta, wait: float) -> None:
    holder = replace(issued(timedelta(0)), expires=datetime.now(UTC) + left)
    assert seconds_until_retry(holder) == pytest.approx(wait, abs=0.1)
