"""Errors of the federation."""

from __future__ import annotations

from pathlib import Path

from datalab.errors import BadInputError, DatalabError, ExitCode


class FederationError(DatalabError):
    """Base of the federation's errors."""


class WireError(FederationError):
    """A peer sent something that the protocol does not allow; its stream is ended."""

    exit_code = ExitCode.BAD_INPUT


class VersionError(WireError):
    """A peer speaks another protocol; trying again does not help."""


class BundleError(BadInputError):
    """An app bundle is not what it must be."""


class RunFailedError(FederationError):
    """A federated run did not reach its end."""


class FolderLostError(RunFailedError):
    """The folder of a run that goes on is gone.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(
            "The run's folder is gone.",
            where=str(path),
            next_step=f"Go on from object storage: datalab run resume {path.name} --home {path.parents[1]}",
        )
