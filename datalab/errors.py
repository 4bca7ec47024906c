"""The one error family that users see, and the exit codes that go with it.

Every user-facing error says what was wrong, where, and what to do next. Packages derive their own base class
from ``DatalabError`` and choose one of the exit codes below; README lists them.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the ``datalab`` command leaves behind; each kind of failure has its own number."""

    OK = 0
    FAILED = 1
    USAGE = 2
    MISSING_EXTRA = 3
    NOT_FOUND = 4
    NOT_WRITABLE = 5
    PORT_TAKEN = 6
    BAD_INPUT = 7
    SERVICE_FAILED = 8
    REFUSED = 9
    IDENTITY = 10
    INTERRUPTED = 130


class DatalabError(Exception):
    """Base of all errors meant for a person.

    Args:
        what: what went wrong, one sentence, no stack trace, no value taken from personal data.
        where: file, line, column, field, service or address it concerns.
        next_step: what the reader can do about it.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, what: str, *, where: str | None = None, next_step: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.next_step = next_step

    def __str__(self) -> str:
        parts = [self.what if self.where is None else f"{self.what} ({self.where})"]
        if self.next_step is not None:
            parts.append(self.next_step)
        return " ".join(parts)


class NotInstalledError(DatalabError):
    """An optional extra is missing."""

    exit_code = ExitCode.MISSING_EXTRA

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs a part that is not installed.",
            next_step=f'Install it with: pip install "federated-datalab[{extra}]"',
        )


class NotFoundError(DatalabError):
    """A file, folder or record that the command needs is not there."""

    exit_code = ExitCode.NOT_FOUND


class NotRunningError(NotFoundError):
    """A service that the command needs has not announced itself in the home."""


class NotWritableError(DatalabError):
    """A directory cannot be written to."""

    exit_code = ExitCode.NOT_WRITABLE


class PortTakenError(DatalabError):
    """Another process already listens on the port that a service was told to use."""

    exit_code = ExitCode.PORT_TAKEN


class BadInputError(DatalabError):
    """A file or value does not have the form that it must have."""

    exit_code = ExitCode.BAD_INPUT


class ServiceFailedError(DatalabError):
    """A process of the system did not start, or ended when it should not have."""

    exit_code = ExitCode.SERVICE_FAILED


class RefusedError(DatalabError):
    """A rule (policy, permit, permission) does not allow this."""

    exit_code = ExitCode.REFUSED


class IdentityError(DatalabError):
    """A certificate, key or token is missing, wrong or expired."""

    exit_code = ExitCode.IDENTITY


def error_of_child(
    output: str, code: int, fallback: str, kind: type[DatalabError] = ServiceFailedError
) -> DatalabError:
    """Return the error with which a child process ended.

    A child of ours (``datalab.service.run_service``) prints its error as the last line ``error: …`` and leaves with the
    error's own exit code; both are handed on.

    Args:
        output: what it wrote, to stderr or its log.
        code: its exit code.
        fallback: what to say if it said nothing.
        kind: the class of the error returned.
    """
    said = next((line for line in reversed(output.splitlines()) if line.startswith("error: ")), None)
    error = kind(fallback if said is None else said.removeprefix("error: "))
    if said is not None and code in set(ExitCode):
        error.exit_code = ExitCode(code)
    return error
