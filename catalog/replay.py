"""Changes that a backup has beside its copy of the catalog: written down as they are made, and made again.

A line of ``changes.jsonl`` is one change: the statements of its transaction with their values, and which audit events
it wrote. They follow each other without a gap. Only INSERT, UPDATE and DELETE are run, on a connection that reaches
nothing but the file; the audit chain is verified afterwards, as after every restore.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb

from catalog.errors import CatalogError
from catalog.records import Version, Withdrawal
from catalog.run_records import RunRecord
from catalog.store import Committed, Store, now, open_file
from catalog.upload_records import Upload
from datalab.errors import BadInputError

ACTOR = "restore"
LOST = "Its data was not in the backup yet when the machine was lost."
_ALLOWED = {duckdb.StatementType.INSERT, duckdb.StatementType.UPDATE, duckdb.StatementType.DELETE}
_WITHOUT = "To restore the state before all of them, move this file and the signatures away, and use --unsigned."
_STOP = "erasure.requested"
"""An erasure moves data that the backup does not have; it is carried out again from its signed record."""


def encode(change: Committed) -> str:
    """Return the line of a change."""
    document = {
        "before": change.events[0].n - 1,
        "n": change.events[-1].n,
        "actions": [one.action for one in change.events],
        "statements": change.statements,
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def replay(catalog: Path, changes: Path, objects: Collection[str], lines: Iterable[bytes]) -> int:
    """Make changes that were written down again; return how many.

    Versions, raw files and results whose data was not fetched any more are on record as lost. So is how many changes
    came after an erasure, which are not made again: until the next whole backup there is none that they fit.

    Args:
        catalog: a copy of the records that is in nobody's use.
        changes: the file, for messages.
        objects: keys of the objects that the backup has.
        lines: the changes, as they stand there.

    Raises:
        BadInputError: a line is not what a lab has written.
        CatalogError: a change does not follow from the one before.
    """
    with closing(open_file(catalog)) as connection:
        ((last,),) = connection.execute("SELECT coalesce(max(n), 0) FROM events").fetchall()
        made = left_out = 0
        for line in _parsed(lines, changes):
            if line["n"] <= last:
                continue
            if left_out or _STOP in line["actions"]:
                left_out += 1
                continue
            if line["before"] != last:
                raise CatalogError(
                    f"The changes in the backup have a gap after event {last}.",
                    where=str(changes),
                    next_step=_WITHOUT,
                )
            _run(connection, line["statements"], changes)
            last, made = line["n"], made + 1
    with closing(Store(catalog)) as store:
        if left_out:
            with store.change(ACTOR) as change:
                change.event("changes.left-out", "catalog", after=last, count=left_out)
        _say_lost(store, objects)
    return made


def plain_changes(path: Path) -> Iterator[bytes]:
    """Yield the changes of a file as they stand there, unsigned; the last may be torn, and no file is none."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield line


def _parsed(lines: Iterable[bytes], where: Path) -> Iterator[dict[str, Any]]:
    for number, text in enumerate(lines, 1):
        try:
            line = json.loads(text)
            yield {"n": int(line["n"]), "before": int(line["before"]), **line}
        except (ValueError, KeyError, TypeError) as error:
            raise BadInputError("This is not a change to a catalog.", where=f"{where}, line {number}") from error


def _run(connection: duckdb.DuckDBPyConnection, statements: list[list[Any]], where: Path) -> None:
    connection.begin()
    try:
        for text, values in statements:
            (statement,) = connection.extract_statements(text)
            if statement.type not in _ALLOWED:
                raise BadInputError("A change in the backup is more than a change to records.", where=str(where))
            connection.execute(statement, values)
        connection.commit()
    except (duckdb.Error, ValueError) as error:
        connection.rollback()
        raise CatalogError(
            f"A change in the backup cannot be made again ({type(error).__name__}).",
            where=str(where),
            next_step=_WITHOUT,
        ) from error
    except BaseException:
        connection.rollback()
        raise


def _say_lost(store: Store, objects: Collection[str]) -> None:
    for (record,) in store.rows("SELECT record FROM versions"):
        version = Version.model_validate_json(record)
        if any(one.key not in objects for one in version.files):
            withdrawn = version.withdrawn or Withdrawal(at=now(), by=ACTOR, reason=LOST)
            with store.change(ACTOR) as change:
                change.replace_version(version.model_copy(update={"files": (), "withdrawn": withdrawn}))
                change.event("version.lost", f"dataset/{version.dataset}/v{version.number}")
    for (record,) in store.rows("SELECT record FROM uploads"):
        upload = Upload.model_validate_json(record)
        if upload.sealed is not None and upload.key not in objects:
            with store.change(ACTOR) as change:
                change.update("uploads", upload.id, upload.model_copy(update={"sealed": None, "expired": now()}))
                change.event("upload.lost", f"upload/{upload.id}")
    for (record,) in store.rows("SELECT record FROM runs"):
        run = RunRecord.model_validate_json(record)
        kept = tuple(one for one in run.artifacts if one.uri.removeprefix("s3://").partition("/")[2] in objects)
        if kept != run.artifacts:
            with store.change(ACTOR) as change:
                gone = run.model_copy(update={"artifacts": kept, "revision": run.revision + 1})
                change.update("runs", run.id, gone)
                change.event("run.artifacts-lost", f"run/{run.id}")
