"""Who may do what: one table, role by action; what is not in it is refused.

In which *state* something may be done (a revision, a run's state, a data class) is for the record's own module.
Which records of a kind an account sees (its own requests, its holder's permits) is for that module, too.
A service account has the rights of its service and no person's.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from catalog.errors import NotPermittedError
from catalog.records import AccountDraft, Role


class Action(StrEnum):
    """What an account can ask the lab for."""

    CATALOGUE_READ = "catalogue:read"
    DATASET_READ = "dataset:read"
    DATASET_REGISTER = "dataset:register"
    DATASET_UPDATE = "dataset:update"
    DATASET_DECIDERS = "dataset:deciders"
    DATASET_UNPUBLISHED = "dataset:unpublished"
    UPLOAD_CREATE = "upload:create"
    UPLOAD_READ = "upload:read"
    UPLOAD_LANDINGS = "upload:landings"
    VERSION_READ = "version:read"
    VERSION_COUNTS = "version:counts"
    VERSION_PUBLISH = "version:publish"
    VERSION_ANNOUNCE = "version:announce"
    VERSION_FILES = "version:files"
    VERSION_DOWNLOAD = "version:download"
    VERSION_WITHDRAW = "version:withdraw"
    PERMIT_RECORD = "permit:record"
    PERMIT_READ = "permit:read"
    PERMIT_REVOKE = "permit:revoke"
    PERMIT_RESULT = "permit:result"
    PERMIT_REVOCATIONS = "permit:revocations"
    PROJECT_READ = "project:read"
    PROJECT_WRITE = "project:write"
    REQUEST_READ = "request:read"
    REQUEST_WRITE = "request:write"
    REQUEST_COMMENT = "request:comment"
    REQUEST_RETURN = "request:return"
    REQUEST_DECIDE = "request:decide"
    BACKUP_CREATE = "backup:create"
    ERASURE_CREATE = "erasure:create"
    ERASURE_READ = "erasure:read"
    PROCESSING_READ = "processing:read"
    RETENTION_READ = "retention:read"
    RETENTION_CARRY_OUT = "retention:carry-out"
    DATASET_HOLD = "dataset:hold"
    OPT_OUT_READ = "opt-out:read"
    RUN_CREATE = "run:create"
    RUN_UPDATE = "run:update"
    RUN_READ = "run:read"
    NODE_READ = "node:read"
    NODE_DETAILS = "node:details"
    NODE_MANAGE = "node:manage"
    RUN_SUBMIT = "run:submit"
    RUN_CANCEL = "run:cancel"
    RUN_CLAIM = "run:claim"
    RELEASE_ASK = "release:ask"
    RELEASE_READ = "release:read"
    RELEASE_DECIDE = "release:decide"
    ACCOUNT_CREATE = "account:create"
    ACCOUNT_WITHDRAW = "account:withdraw"
    ACCOUNT_READ = "account:read"
    ACCOUNT_OWN = "account:own"
    EVENT_READ = "event:read"
    SOURCE_READ = "source:read"
    SOURCE_MANAGE = "source:manage"


class Scope(StrEnum):
    """What a bearer token is good for, of what its account may do."""

    READ = "read"
    WRITE = "write"
    DECIDE = "decide"


_EVERYONE = frozenset(Role)
_DECIDERS = frozenset({Role.ACCESS_BODY, Role.STEWARD})
DECISIONS = frozenset(
    {
        Action.DATASET_DECIDERS,
        Action.PERMIT_RECORD,
        Action.PERMIT_REVOKE,
        Action.REQUEST_DECIDE,
        Action.RELEASE_DECIDE,
        Action.ERASURE_CREATE,
        Action.RETENTION_CARRY_OUT,
        Action.DATASET_HOLD,
        Action.NODE_MANAGE,
        Action.ACCOUNT_CREATE,
        Action.ACCOUNT_WITHDRAW,
    }
)
"""What persons do with a second factor only: in their session, or with a token that they made in such a session."""
_LOOKS = ("read", "landings", "counts", "details", "files", "download")
ALLOWED: dict[Action, frozenset[Role]] = {
    Action.CATALOGUE_READ: _EVERYONE,
    Action.DATASET_READ: _EVERYONE,
    Action.DATASET_REGISTER: frozenset({Role.OPERATOR, Role.STEWARD}),
    Action.DATASET_UPDATE: frozenset({Role.OPERATOR, Role.STEWARD}),
    Action.DATASET_DECIDERS: frozenset({Role.OPERATOR, Role.STEWARD}),
    Action.DATASET_UNPUBLISHED: frozenset({Role.OPERATOR, Role.STEWARD, Role.AUDITOR, Role.PIPELINE}),
    Action.UPLOAD_CREATE: frozenset({Role.OPERATOR, Role.STEWARD}),
    Action.UPLOAD_READ: frozenset({Role.OPERATOR, Role.STEWARD, Role.PIPELINE, Role.AUDITOR}),
    Action.UPLOAD_LANDINGS: frozenset({Role.OPERATOR, Role.PIPELINE}),
    Action.VERSION_READ: _EVERYONE,
    Action.VERSION_COUNTS: frozenset({Role.OPERATOR, Role.STEWARD, Role.PIPELINE, Role.AUDITOR}),
    Action.VERSION_PUBLISH: frozenset({Role.PIPELINE}),
    Action.VERSION_ANNOUNCE: frozenset({Role.GATEWAY}),
    Action.VERSION_FILES: frozenset({Role.PIPELINE, Role.COMPUTE}),
    Action.VERSION_DOWNLOAD: frozenset({Role.OPERATOR, Role.STEWARD, Role.RESEARCHER}),
    Action.VERSION_WITHDRAW: frozenset({Role.OPERATOR, Role.STEWARD}),
    Action.PERMIT_RECORD: frozenset({Role.ACCESS_BODY, Role.STEWARD, Role.OPERATOR, Role.GATEWAY}),
    Action.PERMIT_READ: frozenset(
        {Role.ACCESS_BODY, Role.STEWARD, Role.OPERATOR, Role.GATEWAY, Role.AUDITOR, Role.RESEARCHER}
    ),
    Action.PERMIT_REVOKE: frozenset({Role.ACCESS_BODY, Role.OPERATOR, Role.STEWARD}),
    Action.PERMIT_RESULT: frozenset({Role.RESEARCHER}),
    Action.PERMIT_REVOCATIONS: _DECIDERS,
    Action.PROJECT_READ: frozenset({Role.RESEARCHER, Role.ACCESS_BODY, Role.AUDITOR}),
    Action.PROJECT_WRITE: frozenset({Role.RESEARCHER}),
    Action.REQUEST_READ: frozenset({Role.RESEARCHER, Role.AUDITOR}) | _DECIDERS,
    Action.REQUEST_WRITE: frozenset({Role.RESEARCHER}),
    Action.REQUEST_COMMENT: frozenset({Role.RESEARCHER}) | _DECIDERS,
    Action.REQUEST_RETURN: _DECIDERS,
    Action.REQUEST_DECIDE: _DECIDERS,
    Action.BACKUP_CREATE: frozenset({Role.OPERATOR}),
    Action.ERASURE_CREATE: frozenset({Role.OPERATOR, Role.STEWARD}),
    Action.ERASURE_READ: frozenset({Role.OPERATOR, Role.AUDITOR}),
    Action.PROCESSING_READ: frozenset({Role.OPERATOR, Role.STEWARD, Role.AUDITOR}),
    Action.RETENTION_READ: frozenset({Role.OPERATOR, Role.AUDITOR}),
    Action.RETENTION_CARRY_OUT: frozenset({Role.OPERATOR}),
    Action.DATASET_HOLD: frozenset({Role.OPERATOR, Role.STEWARD}),
    Action.OPT_OUT_READ: frozenset({Role.PIPELINE}),
    Action.RUN_CREATE: frozenset({Role.GATEWAY, Role.RUNNER}),
    Action.RUN_UPDATE: frozenset({Role.GATEWAY, Role.RUNNER}),
    Action.RUN_READ: _EVERYONE - {Role.COMPUTE, Role.PIPELINE},
    Action.NODE_READ: frozenset({Role.OPERATOR, Role.STEWARD, Role.RESEARCHER, Role.ACCESS_BODY, Role.AUDITOR}),
    Action.NODE_DETAILS: frozenset({Role.OPERATOR, Role.AUDITOR}),
    Action.NODE_MANAGE: frozenset({Role.OPERATOR}),
    Action.RUN_SUBMIT: frozenset({Role.OPERATOR, Role.RESEARCHER}),
    Action.RUN_CANCEL: frozenset({Role.OPERATOR, Role.RESEARCHER}),
    Action.RUN_CLAIM: frozenset({Role.RUNNER}),
    Action.RELEASE_ASK: frozenset({Role.RESEARCHER, Role.OPERATOR}),
    Action.RELEASE_READ: _DECIDERS | {Role.AUDITOR},
    Action.RELEASE_DECIDE: _DECIDERS,
    Action.ACCOUNT_CREATE: frozenset({Role.OPERATOR}),
    Action.ACCOUNT_WITHDRAW: frozenset({Role.OPERATOR}),
    Action.ACCOUNT_READ: frozenset({Role.OPERATOR, Role.AUDITOR}),
    Action.ACCOUNT_OWN: frozenset({Role.OPERATOR, Role.STEWARD, Role.RESEARCHER, Role.ACCESS_BODY, Role.AUDITOR}),
    Action.EVENT_READ: frozenset({Role.OPERATOR, Role.AUDITOR}),
    Action.SOURCE_READ: frozenset({Role.OPERATOR, Role.AUDITOR}),
    Action.SOURCE_MANAGE: frozenset({Role.OPERATOR}),
}


PUBLIC = frozenset({Action.CATALOGUE_READ})
"""What needs no account: what the catalogue says of published datasets in the forms of the standards."""


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


def scope_of(action: Action) -> Scope:
    """Return the scope that a bearer token needs for ``action``."""
    if action in DECISIONS:
        return Scope.DECIDE
    return Scope.READ if action.partition(":")[2] in _LOOKS else Scope.WRITE


def check_scope(scopes: Collection[Scope], action: Action) -> None:
    """Raise NotPermittedError unless one of a token's scopes covers ``action``."""
    needed = scope_of(action)
    if needed not in scopes:
        told = " It is granted in a session with a second factor only." if needed is Scope.DECIDE else ""
        raise NotPermittedError(
            f"This token has not the scope {needed}, which {action} needs.",
            next_step=f"Make a token with it under your account.{told}",
        )


def check_holder(account: AccountDraft, holder: str) -> None:
    """Raise NotPermittedError where a steward acts on the data of another data holder."""
    if account.role is Role.STEWARD and account.organisation != holder:
        raise NotPermittedError(
            "A steward may act on datasets of their own organisation only.",
            where=f"data holder {holder}",
            next_step="Ask that data holder's steward, or the lab's operator.",
        )
