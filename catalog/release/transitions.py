"""Which state of a release follows which, and on whose word: the table that code, diagram and tests share."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from catalog.access.transitions import Party, Transition
from catalog.errors import ConflictError


class ReleaseState(StrEnum):
    """Where the release of a run's files stands; only released ones leave the lab."""

    HELD = "held"
    ASKED = "asked"
    RELEASED = "released"
    REFUSED = "refused"


class ReleaseStep(StrEnum):
    """What is done about a release; ``recall`` takes back a release, for whoever has not fetched the files yet."""

    ASK = "ask"
    WITHDRAW = "withdraw"
    RELEASE = "release"
    REFUSE = "refuse"
    RECALL = "recall"


_S = ReleaseState
RELEASE: Mapping[ReleaseStep, Transition[ReleaseState]] = {
    ReleaseStep.ASK: Transition(frozenset({_S.HELD, _S.REFUSED}), _S.ASKED, Party.APPLICANT),
    ReleaseStep.WITHDRAW: Transition(frozenset({_S.ASKED}), _S.HELD, Party.APPLICANT),
    ReleaseStep.RELEASE: Transition(frozenset({_S.ASKED}), _S.RELEASED, Party.DECIDER),
    ReleaseStep.REFUSE: Transition(frozenset({_S.ASKED}), _S.REFUSED, Party.DECIDER),
    ReleaseStep.RECALL: Transition(frozenset({_S.RELEASED}), _S.REFUSED, Party.DECIDER),
}
"""The one table of what may happen to a release; what is not in it is refused."""


def follow_release(step: ReleaseStep, state: ReleaseState, run: str) -> ReleaseState:
    """Return the state that ``step`` leads to; ConflictError unless it may be taken from ``state``."""
    transition = RELEASE[step]
    if state not in transition.sources:
        needed = " or ".join(sorted(transition.sources))
        raise ConflictError(
            f"What the run left is {state}; to {step} it, it would have to be {needed}.",
            where=f"run {run}",
            next_step="Look at the run as it is now.",
        )
    assert transition.target is not None, "each step of a release leads to a state"
    return transition.target
