"""Where one installation keeps its files, and how its parts find each other.

Every part of a lab or a node works inside one *home* folder. A running service writes
``run/<service>.json`` once it is ready (its process id and addresses) and removes it when it stops,
so that the supervisor, the command line and the other services find it without configuration.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datalab.errors import NotRunningError, NotWritableError


@dataclass(frozen=True)
class Home:
    """The folder of one installation; see the properties for what lies where."""

    path: Path

    def folder(self, *parts: str) -> Path:
        """Return a sub-folder, made if it is missing, readable by its owner only.

        Raises:
            NotWritableError: the folder cannot be made.
        """
        folder = self.path.joinpath(*parts)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise NotWritableError(
                f"Cannot make the folder {folder}: {error.strerror}.",
                next_step="Name a folder that you may write to.",
            ) from error
        return folder

    def check_writable(self) -> None:
        """Raise NotWritableError unless files can be made here."""
        folder = self.folder()
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise NotWritableError(
                f"Cannot write to {folder}: {error.strerror}.",
                next_step="Name a folder that you may write to.",
            ) from error

    def secret(self, name: str) -> str:
        """Return a random secret of this installation, made (32 bytes, URL-safe) when first asked for."""
        path = self.path / "secrets" / name
        try:
            return path.read_text(encoding="ascii")
        except FileNotFoundError:
            pass
        self.folder(*path.parent.relative_to(self.path).parts)
        made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            made.touch(mode=0o600)
            with made.open("w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(32))
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):  # another process of this home was first
                path.hardlink_to(made)
        finally:
            made.unlink(missing_ok=True)
        sync_folder(path.parent)  # what it encrypts must not outlive it
        return path.read_text(encoding="ascii")

    def log_file(self, service: str) -> Path:
        """Return where a service's log goes."""
        return self.folder("log") / f"{service}.log"

    def announce(self, service: str, **addresses: Any) -> None:
        """Tell the others that ``service`` (this process) is ready, and where."""
        write_atomically(
            self.folder("run") / f"{service}.json",
            json.dumps({"pid": os.getpid(), **addresses}).encode(),
        )

    def withdraw(self, service: str) -> None:
        """Take back what ``announce`` said."""
        (self.path / "run" / f"{service}.json").unlink(missing_ok=True)

    def address(self, service: str) -> dict[str, Any]:
        """Return what a running service announced.

        Raises:
            NotRunningError: the service is not running in this home.
        """
        try:
            announced: dict[str, Any] = json.loads((self.path / "run" / f"{service}.json").read_bytes())
        except FileNotFoundError:
            raise NotRunningError(
                f"The {service} is not running in {self.path}.",
                next_step=f"Start it with: datalab up --home {self.path}",
            ) from None
        return announced


def sync_folder(folder: Path) -> None:
    """Have what was made, renamed or removed in a folder survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write ``data`` so that a reader, or a crash, sees the old file or the new one and nothing between."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
