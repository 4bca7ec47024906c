"""Which datasets are ready for a standard, asked of the store: the same question as ``missing_for``, of all at once."""

from __future__ import annotations

from catalog.records import Dataset, Version
from catalog.standards.requirements import REQUIRED, Standard
from catalog.store import Store

_PERSONAL = "(record ->> '$.data_class') = 'personal'"
_NON_PUBLIC_HEALTH = f"(record ->> '$.theme') = 'HEAL' AND ({_PERSONAL} OR (record ->> '$.access') = 'federated-only')"


def ready_count(store: Store, standard: Standard) -> int:
    """Return how many datasets the standard is meant for and lack nothing that it demands."""
    return int(store.rows(f"SELECT count(*) FROM datasets WHERE {_condition(standard)}")[0][0])


def ready(store: Store, standard: Standard, *, offset: int, limit: int) -> list[tuple[Dataset, Version | None]]:
    """Return some of these datasets by id, each with its latest version."""
    rows = store.rows(
        f"SELECT record, (SELECT arg_max(v.record, v.number) FROM versions v WHERE v.dataset = datasets.id) "
        f"FROM datasets WHERE {_condition(standard)} ORDER BY id LIMIT ? OFFSET ?",
        [limit, offset],
    )
    return [
        (Dataset.model_validate_json(dataset), Version.model_validate_json(version) if version else None)
        for dataset, version in rows
    ]


def latest(store: Store, dataset: str) -> Version | None:
    """Return the latest version of a dataset, or None."""
    rows = store.rows("SELECT record FROM versions WHERE dataset = ? ORDER BY number DESC LIMIT 1", [dataset])
    return Version.model_validate_json(rows[0][0]) if rows else None


def _condition(standard: Standard) -> str:
    parts = [_stated(name) for name in REQUIRED[standard]]
    if standard == "healthdcat-ap":
        parts.append(_NON_PUBLIC_HEALTH)
    return " AND ".join(f"({part})" for part in parts) or "true"


def _stated(field: str) -> str:
    if field == "version":
        return "EXISTS (SELECT 1 FROM versions v WHERE v.dataset = datasets.id)"
    stated = f"coalesce(record ->> '$.{field}', '') NOT IN ('', '[]')"
    return f"{_PERSONAL} OR {stated}" if field in {"dataset_type", "licence"} else stated
