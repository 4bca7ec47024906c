"""What the index holds of a dataset, this lab's or another's: its words, its facets, and what a hit shows of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime

import tantivy

from catalog.harvest.records import HERE, Description, RemoteEntry
from catalog.records import Dataset, Translation, Version
from catalog.search.model import FACETS, VALUE, Extent, Facet, Hit, RemoteHit
from catalog.search.text import LANGUAGES
from datalab.canonical import sha256_hex

SeesCounts = Callable[[Dataset], bool]
"""Whether whoever asks sees a dataset's small counts."""
REMOTE = "remote/"
"""Before the id of an entry of another catalogue; ids of datasets have no slash."""


def form() -> str:
    """Return a name for what is indexed and how; an index of another form is made anew."""
    shown = json.dumps([Hit.model_json_schema(), RemoteHit.model_json_schema()], sort_keys=True)
    return f"form-4-{sha256_hex(shown.encode())[:12]}"


def schema() -> tantivy.Schema:
    """Return the fields of an entry. No query asks for the order of words, so that positions are not kept."""
    fields = tantivy.SchemaBuilder()
    fields.add_text_field("id", tokenizer_name="raw", index_option="basic")
    fields.add_bytes_field("hit", stored=True)
    fields.add_bytes_field("counts", stored=True)
    fields.add_bytes_field("remote", stored=True)
    fields.add_text_field("title", tokenizer_name="words", index_option="freq")
    fields.add_text_field("words", tokenizer_name="words", index_option="freq")
    fields.add_text_field("grams", tokenizer_name="grams", index_option="basic")
    for language in LANGUAGES:
        fields.add_text_field(f"stem_{language}", tokenizer_name=f"stem_{language}", index_option="freq")
    for facet in FACETS:
        fields.add_text_field(facet, tokenizer_name="raw", index_option="basic", fast=True)
    fields.add_text_field("title_sort", tokenizer_name="raw", index_option="basic", fast=True)
    fields.add_unsigned_field("updated", fast=True)
    fields.add_unsigned_field("rows", fast=True)
    return fields.build()


def entry(dataset: Dataset, latest: Version | None) -> tantivy.Document:
    """Return the entry of a dataset whose latest version is ``latest``."""
    made = tantivy.Document()
    made.add_text("id", dataset.id)
    texts: list[Dataset | Translation] = [dataset, *dataset.translations.values()]
    described = [*(word for one in texts for word in one.keywords), dataset.holder_name, dataset.id]
    columns = [column.name for column in latest.report.columns] if latest is not None else []
    _add_words(made, [one.title for one in texts], described, [*(one.description for one in texts), *columns])
    # By the public form: the order of small counts would tell them.
    rows = latest.public.rows if latest else None
    _add_facets(made, {**facets_of(dataset), "extent": None if rows is None else extent_of(rows)})
    _add_order(made, f"{dataset.title.casefold()[:200]} {dataset.id}", dataset.updated, rows or 0)
    shown = Hit(
        dataset=dataset,
        version=latest.number if latest else None,
        rows=rows,
        checks=len(latest.public.checks) if latest else None,
        checks_passed=sum(check.passed for check in latest.public.checks) if latest else None,
    )
    made.add_bytes("hit", shown.model_dump_json().encode())
    if latest is not None:
        counts = {
            "rows": latest.report.rows,
            "checks": len(latest.report.checks),
            "checks_passed": latest.checks_passed,
        }
        made.add_bytes("counts", json.dumps(counts).encode())
    return made


def remote_entry(found: RemoteEntry) -> tantivy.Document:
    """Return the entry of a dataset of another catalogue."""
    said, made = found.described, tantivy.Document()
    made.add_text("id", f"{REMOTE}{found.id}")
    texts: list[Description | Translation] = [said, *said.translations.values()]
    described = [*(word for one in texts for word in one.keywords), said.publisher or "", found.source_name]
    _add_words(made, [one.title for one in texts], described, [one.description for one in texts])
    for theme in said.themes:
        made.add_text("theme", theme)
    # Of a licence there may be a label alone, which is nobody's code.
    licence = said.licence if said.licence and re.fullmatch(VALUE, said.licence) else None
    _add_facets(made, {"country": found.country, "access": said.access, "licence": licence, "source": found.source})
    _add_order(made, f"{said.title.casefold()[:200]} {found.id}", found.changed, 0)
    made.add_bytes("remote", RemoteHit(remote=found).model_dump_json().encode())
    return made


def _add_facets(made: tantivy.Document, facets: Mapping[Facet, str | None]) -> None:
    for facet, value in facets.items():
        if value is not None:
            made.add_text(facet, value)


def _add_order(made: tantivy.Document, title: str, updated: datetime, rows: int) -> None:
    """Add that by which a search can be sorted."""
    made.add_text("title_sort", title)
    made.add_unsigned("updated", int(updated.timestamp()))
    made.add_unsigned("rows", rows)


def _add_words(made: tantivy.Document, titles: list[str], described: list[str], others: list[str]) -> None:
    """Add what a dataset is found by: its titles, what else names and describes it in short, and longer texts."""
    for text in titles:
        made.add_text("title", text)
    for text in (*titles, *described, *others):
        for field in ("words", *(f"stem_{language}" for language in LANGUAGES)):
            made.add_text(field, text)
    for text in (*titles, *described):
        made.add_text("grams", text)


def hit(stored: tantivy.Document, sees_counts: SeesCounts) -> Hit | RemoteHit:
    """Return a hit from its entry, as whoever asks may see it."""
    if remote := stored["remote"]:
        return RemoteHit.model_validate_json(remote[0])
    shown = Hit.model_validate_json(stored["hit"][0])
    if shown.version is None or not sees_counts(shown.dataset):
        return shown
    return shown.model_copy(update=json.loads(stored["counts"][0]))


def extent_of(rows: int) -> Extent:
    """Return how large a dataset of so many rows is."""
    if rows < 1000:
        return "under-1000"
    if rows < 10_000:
        return "1000-9999"
    if rows < 100_000:
        return "10000-99999"
    return "100000-999999" if rows < 1_000_000 else "from-1000000"


def facets_of(dataset: Dataset) -> dict[Facet, str | None]:
    """Return a dataset's value of each facet that is its own, and not its latest version's."""
    download = dataset.data_class == "anonymous" and dataset.access != "federated-only"
    return {
        "country": dataset.country,
        "holder": dataset.holder,
        "theme": dataset.theme,
        "access": dataset.access,
        "modality": dataset.modality,
        "licence": dataset.licence,
        "use": "download" if download else "federated",
        "source": HERE,
    }
