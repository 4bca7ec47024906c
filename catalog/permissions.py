"""Who may do what: one table, role by action; what is not in it is refused.

In which *state* something may be done (a revision, a run's state, a data class) is for the record's own module.
 A service account has the rights of its service and no person's.
"""

from __future__ import annotations

from enum import StrEnum

from catalog.errors import NotPermittedError
from catalog.records import AccountDraft, Role


class Action(StrEnum):
    """What an account can ask the lab for."""

    DATASET_READ = "dataset:read"
    DATASET_REGISTER = "dataset:register"
    DATASET_UPDATE = "dataset:update"
    UPLOAD_CREATE = "upload:create"
    UPLOAD_READ = "upload:read"
    VERSION_READ = "version:read"
    VERSION_COUNTS = "version:counts"
    VERSION_PUBLISH = "version:publish"
    VERSION_ANNOUNCE = "version:announce"
    VERSION_FILES = "version:files"
    VERSION_DOWNLOAD = "version:download"
    PERMIT_RECORD = "permit:record"
    PERMIT_READ = "permit:read"
    PERMIT_REVOKE = "permit:revoke"
    RUN_CREATE = "run:create"
    RUN_UPDATE = "run:update"
    RUN_READ = "run:read"
    RUN_SUBMIT = "run:submit"
    RUN_CANCEL = "run:cancel"
    RUN_CLAIM = "run:claim"
    ACCOUNT_CREATE = "account:create"
    ACCOUNT_WITHDRAW = "account:withdraw"
    ACCOUNT_READ = "account:read"
    ACCOUNT_OWN = "account:own"
    EVENT_READ = "event:read"


_EVERYONE = frozenset(Role)
ALLOWED: dict[Action, frozenset[Role]] = {
    Action.DATASET_READ: _EVERYONE,
    Action.DATASET_REGISTER: frozenset({Role.OPERATOR, Role.STEWARD}),
    Action.DATASET_UPDATE: frozenset({Role.OPERATOR, Role.STEWARD}),
    Action.UPLOAD_CREATE: frozenset({Role.OPERATOR, Role.STEWARD}),
    Action.UPLOAD_READ: frozenset({Role.OPERATOR, Role.STEWARD, Role.PIPELINE, Role.AUDITOR}),
    Action.VERSION_READ: _EVERYONE,
    Action.VERSION_COUNTS: frozenset({Role.OPERATOR, Role.STEWARD, Role.PIPELINE, Role.AUDITOR}),
    Action.VERSION_PUBLISH: frozenset({Role.PIPELINE}),
    Action.VERSION_ANNOUNCE: frozenset({Role.GATEWAY}),
    Action.VERSION_FILES: frozenset({Role.PIPELINE, Role.COMPUTE}),
    Action.VERSION_DOWNLOAD: frozenset({Role.OPERATOR, Role.STEWARD, Role.RESEARCHER}),
    Action.PERMIT_RECORD: frozenset({Role.ACCESS_BODY, Role.STEWARD, Role.OPERATOR, Role.GATEWAY}),
    Action.PERMIT_READ: frozenset({Role.ACCESS_BODY, Role.STEWARD, Role.OPERATOR, Role.GATEWAY, Role.AUDITOR}),
    Action.PERMIT_REVOKE: frozenset({Role.ACCESS_BODY, Role.OPERATOR}),
    Action.RUN_CREATE: frozenset({Role.GATEWAY, Role.RUNNER}),
    Action.RUN_UPDATE: frozenset({Role.GATEWAY, Role.RUNNER}),
    Action.RUN_READ: _EVERYONE - {Role.COMPUTE, Role.PIPELINE},
    Action.RUN_SUBMIT: frozenset({Role.OPERATOR, Role.RESEARCHER}),
    Action.RUN_CANCEL: frozenset({Role.OPERATOR, Role.RESEARCHER}),
    Action.RUN_CLAIM: frozenset({Role.RUNNER}),
    Action.ACCOUNT_CREATE: frozenset({Role.OPERATOR}),
    Action.ACCOUNT_WITHDRAW: frozenset({Role.OPERATOR}),
    Action.ACCOUNT_READ: frozenset({Role.OPERATOR, Role.AUDITOR}),
    Action.ACCOUNT_OWN: frozenset({Role.OPERATOR, Role.STEWARD, Role.RESEARCHER, Role.ACCESS_BODY, Role.AUDITOR}),
    Action.EVENT_READ: frozenset({Role.OPERATOR, Role.AUDITOR}),
}


def may(role: Role, action: Action) -> bool:
    """Return whether accounts of ``role`` may do ``action``."""
    return role in ALLOWED.get(action, frozenset())


def check_may(account: AccountDraft, action: Action) -> None:
    """Raise NotPermittedError unless the account's role may do ``action``."""
    if not may(account.role, action):
        able = ", ".join(sorted(ALLOWED.get(action, frozenset()))) or "nobody"
        raise NotPermittedError(
            f"An account with the role {account.role} may not do {action}.",
            next_step=f"Roles that may: {able}.",
        )


def check_holder(account: AccountDraft, holder: str) -> None:
    """Raise NotPermittedError where a steward acts on the data of another data holder."""
    if account.role is Role.STEWARD and account.organisation != holder:
        raise NotPermittedError(
            "A steward may act on datasets of their own organisation only.",
            where=f"data holder {holder}",
            next_step="Ask that data holder's steward, or the lab's operator.",
        )
