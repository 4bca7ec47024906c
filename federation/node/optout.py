"""Whom a data holder leaves out of what its node trains on: people who were erased, or have opted out.

Two lists count: the file of pseudonyms that ``opt_outs`` in ``node.toml`` names, kept by the holder, and the marks of
those whom ``datalab node erase`` removed. A list holds for every curation here and is applied to what was curated
before, at the latest before the next run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from datalab.curation.optout import OptOuts, mark_of
from datalab.errors import BadInputError, NotFoundError
from datalab.home import Home, write_atomically
from federation.node.config import NodeConfig

if TYPE_CHECKING:
    from datalab.curation.contract import Contract

PSEUDONYMS = "pseudonyms.key"
"""The node's own key for pseudonyms, below ``secrets``."""
MARKS = "left-out.json"
KEY = "opt-out-key"
"""Secret of the node's home with which pseudonyms become marks."""
_SCOPE = "site"


def read_opt_outs(home: Home, config: NodeConfig) -> OptOuts:
    """Return whom this node leaves out.

    Raises:
        NotFoundError: the list that ``node.toml`` names is not there; without it nobody knows who has opted out.
        BadInputError: it is not UTF-8 text.
    """
    key = home.secret(KEY).encode()
    marks = set(_marks(home))
    marks |= {mark_of(key, _SCOPE, one) for one in listed(home, config)}
    return OptOuts(key, _SCOPE, frozenset(marks))


def listed(home: Home, config: NodeConfig) -> list[str]:
    """Return the people on the list that ``node.toml`` names, as the holder knows them; raises as ``read_opt_outs``."""
    return [] if config.opt_outs is None else _listed(home.path / config.opt_outs)


def pseudonyms_of(home: Home, contract: Contract, people: Iterable[str]) -> list[str]:
    """Return what a contract with keyed pseudonyms calls people here whom the holder knows by other names."""
    person, path = contract.export.person, home.path / "secrets" / PSEUDONYMS
    if person is None or not path.exists():  # nothing was curated with it yet
        return []
    from datalab.curation.key import load_key

    key = load_key(path)
    return [key.pseudonym(person.pseudonym or "", one)[0] for one in people]


def leaving_out_too(people: OptOuts, others: Iterable[str]) -> OptOuts:
    """Return a list with more people on it."""
    return replace(people, marks=people.marks | {mark_of(people.key, people.holder, one) for one in others})


def leave_out(home: Home, pseudonym: str) -> bool:
    """Leave a person out from now on; return False where that was so already."""
    mark, marks = mark_of(home.secret(KEY).encode(), _SCOPE, pseudonym), _marks(home)
    if mark in marks:
        return False
    write_atomically(home.path / MARKS, json.dumps(sorted([*marks, mark])).encode())
    return True


def state(people: OptOuts) -> str:
    """Return a digest that is another one as soon as the list is."""
    return hashlib.sha256("".join(sorted(people.marks)).encode()).hexdigest()


def _marks(home: Home) -> list[str]:
    path = home.path / MARKS
    return [str(one) for one in json.loads(path.read_bytes())] if path.exists() else []


def _listed(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise NotFoundError(
            f"The list of opt-outs cannot be read: {error.strerror}.",
            where=str(path),
            next_step="Put it there, or correct opt_outs in node.toml; an empty file leaves nobody out.",
        ) from error
    except UnicodeDecodeError as error:
        raise BadInputError("The list of opt-outs is not UTF-8 text.", where=str(path)) from error
    return [line.strip() for line in text.splitlines() if line.strip()]
