"""That a contract which has changed since a dataset's last version says so by its number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from catalog.records import Version
from datalab.canonical import sha256_file
from datalab.curation.contract import load_contract
from datalab.curation.difference import check_version, compare
from datalab.errors import BadInputError
from datalab.home import Home, write_atomically
from pipelines.sources import BUILT_IN, SUFFIX


def keep_contract(home: Home, contract: Path) -> None:
    """Keep a contract that is used, so that the one that follows can be compared with it."""
    write_atomically(_kept(home, sha256_file(contract)), contract.read_bytes())


def check_succession(home: Home, contract: Path, versions: Sequence[Version]) -> None:
    """Compare a contract with that of the dataset's last version.

    Raises:
        BadInputError: it has changed and its version has not risen, or not by a major number where it breaks something.
    """
    if not versions:
        return
    last = versions[-1].report
    new = load_contract(contract)
    if last.contract_id != new.id or last.contract_digest == new.digest:
        return
    before = _find(home, last.contract_digest)
    if before is not None:
        old = load_contract(before)
        check_version(old, new, compare(old, new))
    if last.contract_version == new.version:
        raise BadInputError(
            f"The contract {new.id} {new.version} is not the one that version {versions[-1].number} was made with.",
            where=contract.name,
            next_step="Give the changed contract a new version, and let the dataset's record say it.",
        )


def _kept(home: Home, digest: str) -> Path:
    return home.folder("contracts", "used") / f"{digest}{SUFFIX}"


def _find(home: Home, digest: str) -> Path | None:
    if (kept := _kept(home, digest)).exists():
        return kept
    return next((path for path in BUILT_IN.glob(f"*{SUFFIX}") if sha256_file(path) == digest), None)
