"""Whether the other end of a stream is still there: each end says so when it has nothing else to say.

gRPC's own keepalive does not do: its time-out has no effect in grpcio 1.85 (what counts is ``ping_timeout_ms``, a
minute), and a short one ends streams on whose way a large transfer queues up, for a ping has to come back through it.
A beat is not answered, so that only what comes in counts, and everything that comes in does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from federation.errors import FederationError

BEAT_SECONDS = 2.0
"""Who has said nothing for so long sends a beat."""
SILENT_SECONDS = 4.5
"""A line on which nothing has been heard for so long is lost."""
LONGEST_SECONDS = 36.0
"""The same, of a line on which frames have taken longer than that."""
TICK_SECONDS = 0.25
AT_ONCE_SECONDS = 2.0
SLOW_SECONDS = 60.0


class SilentError(FederationError):
    """Nothing is heard of the other end of a stream any more."""


class Patience:
    """For how long the peer of one line may be silent.

    A peer that is back at once was not gone: a large frame took longer than that on a slow line, or its machine is
    busy. It is given twice the time for the next minute, else the same frame would end each of its streams.
    """

    def __init__(self) -> None:
        self._seconds = SILENT_SECONDS
        self._lost = float("-inf")

    @property
    def seconds(self) -> float:
        """Seconds of silence after which the line is lost."""
        return self._seconds if time.monotonic() - self._lost < SLOW_SECONDS else SILENT_SECONDS

    def lost(self) -> None:
        """Take note that the line was given up for its silence."""
        self._seconds, self._lost = self.seconds, time.monotonic()

    def back(self) -> None:
        """Take note that the peer has another stream."""
        at_once = time.monotonic() - self._lost < AT_ONCE_SECONDS
        self._seconds = min(2 * self._seconds, LONGEST_SECONDS) if at_once else SILENT_SECONDS


class Pulse:
    """One end of a stream: when it is to send a beat, and whether it still hears the other end.

    Only a peer that has sent a beat is expected to send more; those of earlier versions do not. So the first one is due
    at once, however much else there is to say: until then a line that is lost would not be noticed.

    Args:
        patience: with the line that the stream goes over.

    Attributes:
        beats: whether the other end has sent one.
        unannounced: whether this end has not.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._silence = 0.0
        self._said = float("-inf")
        self.beats = False
        self.unannounced = True

    @property
    def due(self) -> bool:
        """Whether it is time for a beat, should there be nothing else to send."""
        return self.unannounced or time.monotonic() - self._said >= BEAT_SECONDS

    @property
    def silent(self) -> bool:
        """Whether the line is lost."""
        return self.beats and self._silence > self._patience.seconds

    def said(self, *, beat: bool = False) -> None:
        """Take note that something was sent."""
        self._said = time.monotonic()
        self.unannounced = self.unannounced and not beat

    def heard(self, *, beat: bool) -> None:
        """Take note that something has come."""
        self._silence = 0.0
        self.beats = self.beats or beat

    def pass_time(self, seconds: float) -> None:
        """Let time go by; of a long pause of this very process, in which nothing was read, little counts as silence."""
        self._silence += min(seconds, 2 * TICK_SECONDS)

    def lost(self) -> SilentError:
        """Take note that the stream is given up; return the error that says why."""
        seconds = self._patience.seconds
        self._patience.lost()
        return SilentError(f"Nothing was heard of the other end for {seconds:g} seconds.")


async def while_heard(pulse: Pulse, beat: Callable[[], Awaitable[None]], reading: Coroutine[Any, Any, None]) -> None:
    """Read a stream to its end, and send the beats of this end.

    Args:
        pulse: of this end; whoever reads and writes tells it.
        beat: sends one.
        reading: reads the stream.

    Raises:
        SilentError: nothing is heard of the other end any more.
    """
    task, beating = asyncio.ensure_future(reading), None
    before = time.monotonic()
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=TICK_SECONDS)
            now = time.monotonic()
            pulse.pass_time(now - before)
            before = now
            if pulse.silent and not task.done():
                raise pulse.lost()
            # A beat that cannot be written yet waits behind what is heard of this end as well.
            if pulse.beats and pulse.due and (beating is None or beating.done()):
                beating = asyncio.ensure_future(beat())
        task.result()
    finally:
        for one in (task, beating):
            if one is not None:
                one.cancel()
        await asyncio.gather(*(one for one in (task, beating) if one is not None), return_exceptions=True)
