"""Where a column's value stands in a nested record: ``name[0].family``, ``coding[system="http://loinc.org"].code``.

A path is a list of keys with points between them. A key that has other signs than letters, digits, ``_`` and ``-``
stands in double quotes. After a key, ``[0]`` takes an element of a list by its place, counted from 0, and
``[path="text"]`` the first element in which the value at that path is that text. Nothing else can be said: a path is
read by this module alone, and never handed to anything that evaluates it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MAX_STEPS = 20
_TOKEN = re.compile(r'(?P<key>[A-Za-z0-9_-]+)|"(?P<quoted>[^"]*)"|(?P<sign>[.\[\]=])')


@dataclass(frozen=True)
class Key:
    """The value of this key of an object."""

    name: str


@dataclass(frozen=True)
class Place:
    """The element at this place of a list."""

    index: int


@dataclass(frozen=True)
class Match:
    """The first element of a list in which the value at ``path`` is ``text``."""

    path: Path
    text: str


Step = Key | Place | Match
Path = tuple[Step, ...]


class PathError(ValueError):
    """A path that is not one; the text says why."""


class MisplacedError(Exception):
    """What stands at a path has another structure than the path says."""


def parse_path(text: str) -> Path:
    """Read a path.

    Raises:
        PathError: it is not of the form above, or has more than 20 steps.
    """
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise PathError(f"{text[at]!r} has no meaning in a path")
        kind = found.lastgroup or ""
        tokens.append((kind, found[kind]))
        at = found.end()
    if len(tokens) > 10 * MAX_STEPS:
        raise PathError("it is too long")
    path = _path(tokens)
    if tokens:
        raise PathError(f"{tokens[0][1]!r} is not expected there")
    if len(path) > MAX_STEPS:
        raise PathError(f"it has more than {MAX_STEPS} steps")
    return path


def _path(tokens: list[tuple[str, str]]) -> Path:
    steps: list[Step] = [Key(_take(tokens, "key", "quoted", what="a key"))]
    while tokens and tokens[0] in {("sign", "."), ("sign", "[")}:
        if tokens.pop(0)[1] == ".":
            steps.append(Key(_take(tokens, "key", "quoted", what="a key")))
            continue
        if tokens and tokens[0][0] == "key" and tokens[0][1].isdecimal() and tokens[1:2] == [("sign", "]")]:
            steps.append(Place(int(tokens.pop(0)[1])))
        else:
            inner = _path(tokens)
            _sign(tokens, "=")
            steps.append(Match(inner, _take(tokens, "quoted", what="a text in double quotes")))
        _sign(tokens, "]")
    return tuple(steps)


def _take(tokens: list[tuple[str, str]], *kinds: str, what: str) -> str:
    if not tokens or tokens[0][0] not in kinds:
        raise PathError(f"{what} is missing")
    return tokens.pop(0)[1]


def _sign(tokens: list[tuple[str, str]], sign: str) -> None:
    if tokens[:1] != [("sign", sign)]:
        raise PathError(f"{sign!r} is missing")
    del tokens[0]


def value_at(record: Any, path: Sequence[Step]) -> str | None:
    """Return the text of the value at a path of a record whose numbers are texts already, or None if there is none.

    Raises:
        MisplacedError: what stands there, or on the way, is an object or a list where the path has none, or the other
            way round.
    """
    found = record
    for step in path:
        if found is None:
            return None
        found = _follow(found, step)
    if found is None or isinstance(found, str):
        return found
    if isinstance(found, bool):
        return "true" if found else "false"
    raise MisplacedError


def _follow(found: Any, step: Step) -> Any:
    if isinstance(step, Key):
        if not isinstance(found, dict):
            raise MisplacedError
        return found.get(step.name)
    if not isinstance(found, list):
        raise MisplacedError
    if isinstance(step, Place):
        return found[step.index] if step.index < len(found) else None
    return next((one for one in found if isinstance(one, dict) and value_at(one, step.path) == step.text), None)
