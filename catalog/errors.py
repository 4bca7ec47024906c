"""Errors of the catalog; each has its HTTP status (``catalog.web.errors``) and comes back as the same kind."""

from __future__ import annotations

from datalab.errors import BadInputError, DatalabError, ExitCode, RefusedError


class CatalogError(DatalabError):
    """Something in the catalog or the lab server went wrong."""


class ConflictError(CatalogError):
    """The record is there already, has changed meanwhile, or is in a state that does not allow this."""

    exit_code = ExitCode.REFUSED


class TooLargeError(CatalogError, BadInputError):
    """A request is larger than the lab accepts."""

    exit_code = ExitCode.BAD_INPUT


class NotPermittedError(CatalogError, RefusedError):
    """The account's role does not allow this, or the data may not be used in this way."""

    exit_code = ExitCode.REFUSED


class TooManyAttemptsError(CatalogError, RefusedError):
    """Somebody has tried too often, and must wait: for ``wait`` seconds at most."""

    exit_code = ExitCode.REFUSED
    wait = 15 * 60


class TooManyRequestsError(TooManyAttemptsError):
    """Somebody asks more often than the lab answers one account or address."""

    def __init__(self, kind: str, *, wait: int) -> None:
        super().__init__(
            f"There were too many requests of one kind ({kind}).",
            next_step=f"Wait {wait} s before the next one; the lab answers everybody in turn.",
        )
        self.wait = wait


class DataMismatchError(CatalogError, BadInputError):
    """Files in object storage are not what the publisher said they are."""

    exit_code = ExitCode.BAD_INPUT


class CatalogInUseError(CatalogError):
    """Another process has the catalog open; only the lab server may."""

    exit_code = ExitCode.SERVICE_FAILED
