"""What the index holds of a dataset: the words by which it is found, its facets, and what a hit shows of it."""

from __future__ import annotations

import json
from collections.abc import Callable

import tantivy

from catalog.records import Dataset, Version
from catalog.search.model import FACETS, Facet, Hit
from catalog.search.text import LANGUAGES
from datalab.canonical import sha256_hex

SeesCounts = Callable[[Dataset], bool]
"""Whether whoever asks sees a dataset's small counts."""


def form() -> str:
    """Return a name for what is indexed and how; an index of another form is made anew."""
    shown = json.dumps(Hit.model_json_schema(), sort_keys=True)
    return f"form-2-{sha256_hex(shown.encode())[:12]}"


def schema() -> tantivy.Schema:
    """Return the fields of an entry. No query asks for the order of words, so that positions are not kept."""
    fields = tantivy.SchemaBuilder()
    fields.add_text_field("id", tokenizer_name="raw", index_option="basic")
    fields.add_bytes_field("hit", stored=True)
    fields.add_bytes_field("counts", stored=True)
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
    titles = [dataset.title, *(one.title for one in dataset.translations.values())]
    described = [
        *titles,
        *dataset.keywords,
        *(word for one in dataset.translations.values() for word in one.keywords),
        dataset.holder_name,
        dataset.id,
    ]
    texts = [*described, dataset.description, *(one.description for one in dataset.translations.values())]
    if latest is not None:
        texts += [column.name for column in latest.report.columns]
    for text in titles:
        made.add_text("title", text)
    for text in texts:
        for field in ("words", *(f"stem_{language}" for language in LANGUAGES)):
            made.add_text(field, text)
    for text in described:
        made.add_text("grams", text)
    for facet, value in facets_of(dataset).items():
        if value is not None:
            made.add_text(facet, value)
    made.add_text("title_sort", f"{dataset.title.casefold()[:200]} {dataset.id}")
    made.add_unsigned("updated", int(dataset.updated.timestamp()))
    # By the public form: the order of small counts would tell them.
    rows = latest.public.rows if latest else None
    made.add_unsigned("rows", rows or 0)
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


def hit(stored: tantivy.Document, sees_counts: SeesCounts) -> Hit:
    """Return a hit from its entry, as whoever asks may see it."""
    shown = Hit.model_validate_json(stored["hit"][0])
    if shown.version is None or not sees_counts(shown.dataset):
        return shown
    return shown.model_copy(update=json.loads(stored["counts"][0]))


def facets_of(dataset: Dataset) -> dict[Facet, str | None]:
    """Return a dataset's value of each facet."""
    download = dataset.data_class == "anonymous" and dataset.access != "federated-only"
    return {
        "country": dataset.country,
        "holder": dataset.holder,
        "theme": dataset.theme,
        "access": dataset.access,
        "modality": dataset.modality,
        "licence": dataset.licence,
        "use": "download" if download else "federated",
    }
