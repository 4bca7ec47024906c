"""The wheels of a bundle: the project's own, built or found, and those of the lock, fetched by checksum."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

from datalab.errors import BadInputError, NotFoundError, ServiceFailedError
from federation.release.closure import Locked

PROJECT = "federated_datalab"
_SOURCE_DATE = "1580601600"
"""When files in our wheel say they were made (2020-02-02), so that the same source gives the same bytes."""


def own_wheel(source: Path, folder: Path) -> Path:
    """Put the project's own wheel into ``folder``: the one that lies in ``source``, else one built from it.

    Raises:
        NotFoundError: there is neither.
        BadInputError: several wheels lie there.
        ServiceFailedError: it cannot be built.
    """
    there = sorted(source.glob(f"{PROJECT}-*.whl"))
    if len(there) > 1:
        raise BadInputError("There is more than one wheel of Datalab.", where=str(source), next_step="Leave one there.")
    if there:
        wheel = folder / there[0].name
        wheel.write_bytes(there[0].read_bytes())
        return wheel
    if not (source / "pyproject.toml").is_file():
        raise NotFoundError(
            f"Neither Datalab's source nor a wheel of it is in {source}.",
            next_step="Name the source folder, or one with the wheel and requirements.lock, with --source.",
        )
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source.resolve()))
    return next(folder.glob(f"{PROJECT}-*.whl"))


def fetch(packages: Iterable[Locked], folder: Path) -> None:
    """Put the wheel of each package into ``folder``, from wherever pip is set up here to find packages.

    Raises:
        ServiceFailedError: one cannot be had as a wheel, or has another checksum than the lock says.
    """
    wanted = folder.with_name("wanted.txt")
    lines = [" ".join([f"{one.name}=={one.version}", *(f"--hash={value}" for value in one.hashes)]) for one in packages]
    wanted.write_text("\n".join(lines) + "\n", encoding="ascii")
    _pip(
        "download", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--dest", str(folder), "-r", str(wanted)
    )


def read_metadata(wheel: Path) -> Message:
    """Return a wheel's own description (core metadata)."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return BytesParser().parsebytes(archive.read(name), headersonly=True)


def _pip(*arguments: str) -> None:
    """Run pip with the settings of this machine."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        env={**os.environ, "SOURCE_DATE_EPOCH": _SOURCE_DATE},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = [line.strip() for line in done.stderr.splitlines() if "ERROR" in line or "Error" in line]
        raise ServiceFailedError(
            f"pip {arguments[0]} failed.",
            where=said[-1] if said else f"exit code {done.returncode}",
            next_step="Check that pip finds packages here; building Datalab's own wheel needs hatchling.",
        )
