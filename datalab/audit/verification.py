"""Checks a whole audit log: is every entry there, unchanged and in its place?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from datalab.audit.chain import Head
from datalab.audit.entry import Entry, EntryError, decode_entry
from datalab.errors import NotFoundError


@dataclass(frozen=True)
class Problem:
    """Something that is not as it was written.

    Attributes:
        line: line of the file, from 1.
        what: what is wrong there, one clause.
    """

    line: int
    what: str


@dataclass(frozen=True)
class Verification:
    """What a check of a log found.

    Attributes:
        path: the file.
        head: where the chain stands at the file's end.
        problems: what is wrong, in the order of the file; empty if nothing is.
    """

    path: Path
    head: Head
    problems: tuple[Problem, ...]

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(path: Path, expected_heads: Iterable[Head] = ()) -> Verification:
    """Check every entry of the log in ``path``.

    A chain alone shows changed, missing and reordered entries. That entries were cut off its end, or that all
    of it was written anew, shows only against heads that somebody else has kept.

    Args:
        path: a file written by ``AuditLog``.
        expected_heads: heads that the log is known to have had.

    Raises:
        NotFoundError: there is no such file.
    """
    known: dict[int, set[str]] = {}
    for head in expected_heads:
        known.setdefault(head.n, set()).add(head.hash)
    problems: list[Problem] = []
    at = Head()
    line = 0
    for line, found in enumerate(entries(path), 1):
        if isinstance(found, str):
            problems.append(Problem(line, found))
            at = Head(at.n + 1, "")  # whatever comes next cannot be checked against this one
            continue
        if found.n != at.n + 1 or at.hash not in ("", found.previous):
            problems.append(Problem(line, _gap(at, found)))
        at = found.head
        if known.get(at.n, set()) - {at.hash}:
            problems.append(Problem(line, f"is not the entry {at.n} that was known: the log was written anew"))
    problems += [
        Problem(line, f"is the last, but an entry {n} was known: the log was cut off")
        for n in sorted(known)
        if n > at.n
    ]
    return Verification(path, at, tuple(problems))


def entries(path: Path) -> Iterator[Entry | str]:
    """Yield each line's entry, or what is wrong with the line (raises NotFoundError if there is no such file)."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise NotFoundError(
            f"Cannot read the audit log {path}: {error.strerror}.", next_step="Name the file of an audit log."
        ) from error
    with file:
        for line in file:
            if not line.endswith(b"\n"):
                yield "is incomplete (a crash; opening the log repairs it)"
                continue
            try:
                yield decode_entry(line.removesuffix(b"\n"))
            except EntryError as error:
                yield str(error)


def _gap(at: Head, found: Entry) -> str:
    if found.n > at.n + 1:
        return f"is entry {found.n} and should be {at.n + 1}: entries are missing"
    if found.n <= at.n:
        return f"is entry {found.n} and should be {at.n + 1}: entries were reordered"
    return f"does not follow from the entry before it: entry {at.n or found.n} was written anew"
