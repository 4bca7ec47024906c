"""Which datasets are ready for a standard, asked of the store: the same question as ``missing_for``, of all at once."""

from __future__ import annotations

from catalog.datasets import shown
from catalog.lifecycle import STATE
from catalog.records import Dataset, Version
from catalog.standards.requirements import REQUIRED, Standard
from catalog.store import Store

_FACTS = ("data_class", "theme", "access")
_PERSONAL = "data_class = 'personal'"
_NON_PUBLIC_HEALTH = f"theme = 'HEAL' AND ({_PERSONAL} OR access = 'federated-only')"
_LATEST = "SELECT arg_max(record, number) FROM versions WHERE dataset = ready.id"


def ready_count(store: Store, standard: Standard) -> int:
    """Return how many datasets the standard is meant for and lack nothing that it demands."""
    return int(store.scan(f"SELECT count(*) FROM ({_ready(standard)})")[0][0])


def ready(store: Store, standard: Standard, *, offset: int, limit: int) -> list[tuple[Dataset, Version | None]]:
    """Return some of these datasets by id, each with its latest version."""
    page = f"SELECT id, record FROM ({_ready(standard)}) ORDER BY id LIMIT ? OFFSET ?"
    rows = store.scan(f"SELECT record, ({_LATEST}) FROM ({page}) ready ORDER BY id", [limit, offset])
    return [_read(*row) for row in rows]


def latest(store: Store, dataset: str) -> Version | None:
    """Return the latest version of a dataset, or None."""
    rows = store.rows("SELECT record FROM versions WHERE dataset = ? ORDER BY number DESC LIMIT 1", [dataset])
    return Version.model_validate_json(rows[0][0]) if rows else None


def _read(dataset: str, version: str | None) -> tuple[Dataset, Version | None]:
    """Return a dataset and its latest version as everybody may see them."""
    read = Dataset.model_validate_json(dataset)
    return read, shown(Version.model_validate_json(version), read, None) if version else None


def _ready(standard: Standard) -> str:
    """Return a query for the id and record of the datasets that are ready; it reads each record once."""
    fields = [*_FACTS, *(name for name in REQUIRED[standard] if name != "version")]
    paths = ", ".join(f"'$.{name}'" for name in fields)
    columns = ", ".join(f"stated[{index}] AS {name}" for index, name in enumerate(fields, 1))
    read = f"SELECT id, record, json_extract_string(record, [{paths}]) AS stated FROM datasets"
    conditions = [_stated(name) for name in REQUIRED[standard]]
    if standard == "healthdcat-ap":
        conditions.append(_NON_PUBLIC_HEALTH)
    conditions.append(f"{STATE} = 'published'")
    where = " AND ".join(f"({one})" for one in conditions) or "true"
    return f"SELECT id, record FROM (SELECT id, record, {columns} FROM ({read})) WHERE {where}"


def _stated(field: str) -> str:
    if field == "version":
        return "id IN (SELECT dataset FROM versions)"
    stated = f"coalesce({field}, '') NOT IN ('', '[]')"
    return f"{_PERSONAL} OR {stated}" if field in {"dataset_type", "licence"} else stated
