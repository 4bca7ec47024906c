"""Which state of a request or permit follows which, and on whose word: tables that code, diagram and tests share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from catalog.errors import ConflictError


class State(StrEnum):
    """Where an access request stands."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    RETURNED = "returned"
    APPROVED = "approved"
    GRANTED = "granted"
    ANSWERED = "answered"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


class Step(StrEnum):
    """What is done to an access request; ``endorse`` is the first of two approvals."""

    EDIT = "edit"
    SUBMIT = "submit"
    WITHDRAW = "withdraw"
    RETURN = "return"
    ENDORSE = "endorse"
    APPROVE = "approve"
    REJECT = "reject"
    GRANT = "grant"
    ANSWER = "answer"


class Party(StrEnum):
    """Whose word a step needs.

    The applicant: whoever wrote the request. An assessor: a steward of one of the data holders, or who decides. Who
    decides: ``catalog.access.policy``.
    """

    APPLICANT = "applicant"
    ASSESSOR = "assessor"
    DECIDER = "decider"
    CLOCK = "time"


class PermitState(StrEnum):
    """Where a permit stands; a renewed one still holds until its own end."""

    ACTIVE = "active"
    RENEWED = "renewed"
    EXPIRED = "expired"
    REVOKED = "revoked"


class PermitStep(StrEnum):
    """What happens to a permit."""

    RENEW = "renew"
    EXPIRE = "expire"
    REVOKE = "revoke"


_S = TypeVar("_S", bound=StrEnum)
_T = TypeVar("_T", bound=StrEnum)


@dataclass(frozen=True)
class Transition(Generic[_S]):
    """A step: from which states, to which one (None: it stays), and by whom."""

    sources: frozenset[_S]
    target: _S | None
    by: Party


REQUEST: Mapping[Step, Transition[State]] = {
    Step.EDIT: Transition(frozenset({State.DRAFT, State.RETURNED}), None, Party.APPLICANT),
    Step.SUBMIT: Transition(frozenset({State.DRAFT, State.RETURNED}), State.SUBMITTED, Party.APPLICANT),
    Step.WITHDRAW: Transition(
        frozenset({State.DRAFT, State.SUBMITTED, State.RETURNED, State.APPROVED}), State.WITHDRAWN, Party.APPLICANT
    ),
    Step.RETURN: Transition(frozenset({State.SUBMITTED}), State.RETURNED, Party.ASSESSOR),
    Step.ENDORSE: Transition(frozenset({State.SUBMITTED}), None, Party.DECIDER),
    Step.APPROVE: Transition(frozenset({State.SUBMITTED}), State.APPROVED, Party.DECIDER),
    Step.REJECT: Transition(frozenset({State.SUBMITTED}), State.REJECTED, Party.DECIDER),
    Step.GRANT: Transition(frozenset({State.APPROVED}), State.GRANTED, Party.DECIDER),
    Step.ANSWER: Transition(frozenset({State.APPROVED}), State.ANSWERED, Party.DECIDER),
}
"""The one table of what may happen to an access request; what is not in it is refused."""
PERMIT: Mapping[PermitStep, Transition[PermitState]] = {
    PermitStep.RENEW: Transition(frozenset({PermitState.ACTIVE}), PermitState.RENEWED, Party.DECIDER),
    PermitStep.EXPIRE: Transition(
        frozenset({PermitState.ACTIVE, PermitState.RENEWED}), PermitState.EXPIRED, Party.CLOCK
    ),
    PermitStep.REVOKE: Transition(
        frozenset({PermitState.ACTIVE, PermitState.RENEWED}), PermitState.REVOKED, Party.DECIDER
    ),
}
"""The one table of what may happen to a permit."""


def follow(step: Step, state: State, request: str) -> State:
    """Return the state that ``step`` leads to; ConflictError unless it may be taken from ``state``."""
    transition = REQUEST[step]
    if state not in transition.sources:
        raise ConflictError(
            f"The request is {state}; to {step} it, it would have to be {_either(transition.sources)}.",
            where=request,
            next_step="Look at the request as it is now.",
        )
    return transition.target or state


def follow_permit(step: PermitStep, state: PermitState, permit: str) -> PermitState:
    """Return the state that ``step`` leads to; ConflictError unless it may be taken from ``state``."""
    transition = PERMIT[step]
    if state not in transition.sources:
        raise ConflictError(
            f"The permit is {state}; to {step} it, it would have to be {_either(transition.sources)}.",
            where=f"permit {permit}",
            next_step="Look at the permit as it is now.",
        )
    return transition.target or state


def diagram(table: Mapping[_T, Transition[_S]], first: _S) -> str:
    """Return a table, which starts from ``first``, as a state diagram in Mermaid's notation."""
    lines = ["stateDiagram-v2", f"    [*] --> {first}"]
    left: set[str] = set()
    reached: set[str] = set()
    for step, transition in table.items():
        for source in sorted(transition.sources):
            target = transition.target or source
            lines.append(f"    {source} --> {target}: {step} ({transition.by})")
            reached.add(target)
            if target != source:
                left.add(source)
    lines += [f"    {state} --> [*]" for state in sorted(reached - left)]
    return "\n".join(lines)


def _either(states: frozenset[_S]) -> str:
    return " or ".join(sorted(states))
