"""Which of the locked packages a node needs: the lock read, and the requirements of ``[node]`` followed through it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from datalab.errors import BadInputError, NotFoundError

FLOWER_SERVER = frozenset(
    {"alembic", "fastapi", "pathspec", "prompt-toolkit", "requests", "sqlalchemy", "starlette", "uv", "uvicorn"}
)
"""What Flower's own server and command line need, and no node ever imports."""


@dataclass(frozen=True)
class Locked:
    """One package as the lock names it.

    Attributes:
        name: canonical (PEP 503).
        version: exactly.
        hashes: of the files that count as this version, "sha256:…".
        requires: names of the packages in the closure that it needs; filled in by ``closure``.
        licence: SPDX expression or name, where the package states one.
    """

    name: str
    version: str
    hashes: tuple[str, ...]
    requires: tuple[str, ...] = ()
    licence: str | None = None


def read_lock(path: Path) -> dict[str, Locked]:
    """Return the packages in a lock that are for this Python and system.

    Raises:
        NotFoundError: it cannot be read.
        BadInputError: a line is not "name==version", or has no checksum.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise NotFoundError(
            f"Cannot read the lock {path}: {error.strerror}.",
            next_step="Name Datalab's source folder with --source; requirements.lock is in it.",
        ) from error
    found: dict[str, Locked] = {}
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        what, *hashes = line.split(" --hash=")
        try:
            wanted = Requirement(what.strip())
        except InvalidRequirement as error:
            raise _not_locked(path, what) from error
        pins = [pin for pin in wanted.specifier if pin.operator == "=="]
        if len(pins) != 1 or len(wanted.specifier) != 1 or not hashes:
            raise _not_locked(path, what)
        if wanted.marker is None or wanted.marker.evaluate():
            name = canonicalize_name(wanted.name)
            found[name] = Locked(name, pins[0].version, tuple(one.strip() for one in hashes))
    return found


def closure(requires: Iterable[str], extra: str, lock: dict[str, Locked]) -> list[Locked]:
    """Return what ``requires`` (lines of wheel metadata, with ``extra``) leads to, by name, as locked.

    Whose requirements lead on is read from the packages installed here, which must be the locked ones. What only
    Flower's server needs is left out.

    Raises:
        NotFoundError: a package is not in the lock, or not installed here.
        BadInputError: another version of it is installed here.
    """
    found: dict[str, Locked] = {}
    done: set[tuple[str, str]] = set()
    waiting = _wanted(requires, {extra})
    while waiting:
        name, extras = waiting.pop()
        if all((name, one) in done for one in ("", *extras)):
            continue
        done |= {(name, one) for one in ("", *extras)}
        installed = _installed(name, lock)
        children = _wanted(installed.requires or (), extras)
        if name == "flwr":
            children = [child for child in children if child[0] not in FLOWER_SERVER]
        known = found[name].requires if name in found else ()
        found[name] = Locked(
            name,
            lock[name].version,
            lock[name].hashes,
            tuple(sorted({*known, *(child for child, _ in children)})),
            _licence(installed),
        )
        waiting += children
    return [found[name] for name in sorted(found)]


def direct(requires: Iterable[str], extra: str) -> tuple[str, ...]:
    """Return the names of the packages that ``requires`` names for ``extra``."""
    return tuple(sorted({name for name, _ in _wanted(requires, {extra})}))


def _wanted(requires: Iterable[str], extras: Iterable[str]) -> list[tuple[str, frozenset[str]]]:
    """Return names and extras of the requirements that hold here, for a package installed with ``extras``."""
    environments = [{"extra": extra} for extra in ("", *extras)]
    return [
        (canonicalize_name(one.name), frozenset(one.extras))
        for one in map(Requirement, requires)
        if one.marker is None or any(one.marker.evaluate(environment) for environment in environments)
    ]


def _installed(name: str, lock: dict[str, Locked]) -> Distribution:
    if name not in lock:
        raise NotFoundError(f"A node needs {name}, which the lock does not name.", next_step="Renew it: make lock")
    try:
        found = distribution(name)
    except PackageNotFoundError:
        raise NotFoundError(
            f"A node needs {name}, which is not installed here, so what it needs in turn is not known.",
            next_step="Make the bundle where the locked packages are installed: make env",
        ) from None
    if found.version != lock[name].version:
        raise BadInputError(
            f"{name} {found.version} is installed here; the lock names {lock[name].version}.",
            next_step="Make the bundle where the locked packages are installed: make env",
        )
    return found


def _licence(installed: Distribution) -> str | None:
    if "License-Expression" in installed.metadata:
        return installed.metadata["License-Expression"]
    prefix = "License :: OSI Approved :: "
    classifiers = installed.metadata.get_all("Classifier") or []
    return next((line.removeprefix(prefix) for line in classifiers if line.startswith(prefix)), None)


def _not_locked(path: Path, line: str) -> BadInputError:
    return BadInputError(
        "A line of the lock does not name one version with its checksums.",
        where=f"{path}, {line.strip()[:80]!r}",
        next_step="Renew it: make lock",
    )
