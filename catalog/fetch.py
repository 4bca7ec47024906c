"""Fetching anonymous data: the files of a version, resumed where a transfer broke off, and checked to the last bit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import httpx

from catalog.client import LabClient
from catalog.errors import DataMismatchError
from catalog.records import StoredFile
from datalab.errors import NotFoundError, ServiceFailedError

_PIECE = 1 << 20
_ATTEMPTS = 5
"""Times in a row that a transfer may break off without a byte having come."""
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)


def fetch(
    lab: LabClient,
    dataset: str,
    folder: Path,
    *,
    version: int | None = None,
    tell: Callable[[Path, int, int], None] | None = None,
) -> list[Path]:
    """Fetch the files of a version of anonymous data into ``folder``; what is there whole already is not fetched.

    A file has the name of its dataset, version and number; until all of it is there and its SHA-256 is right, that
    name ends in ``.part``, and another call goes on from there.

    Args:
        lab: the lab, as somebody who may download.
        dataset: its id.
        folder: where the files go.
        version: which version, or None for the latest that is not withdrawn.
        tell: called with a file, how many bytes of it are there, and its size.

    Raises:
        NotFoundError: there is no such version, or it has no files.
        NotPermittedError: the data does not leave the lab, or not in this account's hands.
        DataMismatchError: what came is not what the catalog says; it is removed.
        ServiceFailedError: the transfer kept breaking off; what came stays.
    """
    found = [
        one for one in lab.versions(dataset) if (one.withdrawn is None if version is None else one.number == version)
    ]
    if not found:
        raise NotFoundError(
            f"{dataset} has no {f'version {version}' if version else 'version that may be used'}.",
            next_step="See the list of its versions.",
        )
    chosen = found[-1]
    lab.download_url(dataset, chosen.number)  # before anything is made here: whether it may leave at all, and why not
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, file in enumerate(chosen.files):
        path = folder / f"{dataset}-v{chosen.number}-{index}.parquet"
        if not (path.exists() and _digest(path).hexdigest() == file.sha256):
            _fetch(lambda at=index: lab.download_url(dataset, chosen.number, file=at), file, path, tell)  # type: ignore[misc]
        paths.append(path)
    return paths


def _fetch(
    address: Callable[[], str], file: StoredFile, path: Path, tell: Callable[[Path, int, int], None] | None
) -> None:
    part = path.with_name(f"{path.name}.part")
    part.touch()
    failed = 0
    with httpx.Client(timeout=_TIMEOUT, trust_env=False) as http:
        while (there := part.stat().st_size) < file.bytes:
            try:
                _append(http, address(), part, there, lambda done: tell(path, done, file.bytes) if tell else None)
            except httpx.HTTPError as error:
                failed = 0 if part.stat().st_size > there else failed + 1
                if failed == _ATTEMPTS:
                    raise ServiceFailedError(
                        f"The transfer broke off {failed} times in a row ({type(error).__name__}).",
                        where=str(part),
                        next_step="Try again later; it goes on from there.",
                    ) from error
    if _digest(part).hexdigest() != file.sha256:
        part.unlink()
        raise DataMismatchError(
            "What came is not what the catalog says: its SHA-256 is another.",
            where=path.name,
            next_step="Fetch it again; if that does not help, tell the lab's operator.",
        )
    part.replace(path)


def _append(http: httpx.Client, address: str, part: Path, there: int, tell: Callable[[int], None]) -> None:
    """Write what is still missing behind the ``there`` bytes that have come."""
    with http.stream("GET", address, headers={"Range": f"bytes={there}-"} if there else {}) as answer:
        answer.raise_for_status()
        with part.open("ab") as out:
            if there and answer.status_code != httpx.codes.PARTIAL_CONTENT:
                out.truncate(there := 0)
            for piece in answer.iter_bytes(_PIECE):
                out.write(piece)
                there += len(piece)
                tell(there)


def _digest(path: Path) -> hashlib._Hash:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256")
