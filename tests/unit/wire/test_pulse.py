"""Who is heard, and for how long who is not is waited for."""

from __future__ import annotations

import asyncio

import pytest

from federation.wire import pulse as module
from federation.wire.pulse import (
    BEAT_SECONDS,
    LONGEST_SECONDS,
    SILENT_SECONDS,
    Patience,
    Pulse,
    SilentError,
    while_heard,
)


class Clock:
    """What ``time.monotonic`` says, as a test has it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def wait(pulse: Pulse, seconds: float) -> None:
    for _ in range(round(seconds * 10)):
        pulse.pass_time(0.1)


def test_a_peer_that_beats_is_lost_once_it_is_silent_and_one_that_does_not_never_is() -> None:
    old, new = Pulse(Patience()), Pulse(Patience())
    old.heard(beat=False)
    new.heard(beat=True)
    for one in (old, new):
        wait(one, SILENT_SECONDS - 0.3)
        assert not one.silent
        wait(one, 0.6)
    assert (old.silent, new.silent) == (False, True)


def test_what_is_not_a_beat_is_a_sign_of_life_too() -> None:
    pulse = Pulse(Patience())
    pulse.heard(beat=True)
    wait(pulse, SILENT_SECONDS - 0.3)
    pulse.heard(beat=False)
    wait(pulse, SILENT_SECONDS - 0.3)
    assert not pulse.silent


def test_a_pause_of_ones_own_is_no_silence_of_the_peers() -> None:
    pulse = Pulse(Patience())
    pulse.heard(beat=True)
    pulse.pass_time(3600)
    assert not pulse.silent


def test_a_beat_is_due_when_nothing_was_said_for_a_while(clock: Clock) -> None:
    pulse = Pulse(Patience())
    pulse.said()
    due = [pulse.due]  # the first one shows that there will be more: it is sent whatever else there is to say
    pulse.said(beat=True)
    due.append(pulse.due)
    clock.now += BEAT_SECONDS
    due.append(pulse.due)
    pulse.said()
    due.append(pulse.due)
    assert due == [True, False, True, False]


def test_who_was_not_gone_is_given_more_time_for_a_minute(clock: Clock) -> None:
    patience = Patience()
    waited = []
    for _ in range(5):
        patience.lost()
        clock.now += 0.5
        patience.back()
        waited.append(patience.seconds)
    assert waited == [9.0, 18.0, 36.0, LONGEST_SECONDS, LONGEST_SECONDS]
    clock.now += 61
    assert patience.seconds == SILENT_SECONDS


def test_who_was_gone_is_given_no_more_time_than_others(clock: Clock) -> None:
    patience = Patience()
    patience.lost()
    clock.now += 5
    patience.back()
    assert patience.seconds == SILENT_SECONDS


def test_a_stream_on_which_nothing_comes_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK_SECONDS", 0.005)
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.03)
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    beats = []

    async def run() -> None:
        pulse = Pulse(Patience())
        pulse.heard(beat=True)

        async def beat() -> None:
            beats.append(pulse.silent)
            pulse.said(beat=True)

        await while_heard(pulse, beat, asyncio.sleep(60))

    with pytest.raises(SilentError, match="Nothing was heard"):
        asyncio.run(run())
    assert beats
