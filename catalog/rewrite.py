"""Writing a DuckDB file anew: one that rows were deleted from still has their bytes, also after a checkpoint."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb


def rewrite(path: Path, copy: Path | None = None) -> None:
    """Write a closed DuckDB file anew, in its own place or as ``copy``; a crash leaves the old file or the new one."""
    target = copy or path.with_name(f".{path.name}.new")
    target.unlink(missing_ok=True)
    with duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False}) as connection:
        connection.execute(f"ATTACH {_text(path)} AS source (READ_ONLY)")
        connection.execute(f"ATTACH {_text(target)} AS target")
        connection.execute("COPY FROM DATABASE source TO target")
        connection.execute("CHECKPOINT target")
        connection.execute("DETACH source")
        connection.execute("DETACH target")
    _sync(target)
    if copy is None:
        target.replace(path)
        _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _text(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
