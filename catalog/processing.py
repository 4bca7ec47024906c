"""Records of processing (GDPR Art. 30) and material for an impact assessment (Art. 35), from what is on record.

What the records do not say is a gap, and marked as one: who signs such a document has to see what is still to be
written. Nothing here names a person whose data it is, or counts more than everybody may read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from catalog.access.records import PermitRecord
from catalog.landing import LOCK
from catalog.processing_forms import Form
from catalog.records import Dataset, Line, Record, Version
from catalog.store import Store
from datalab.permits.claims import Purpose


class Entry(Record):
    """One thing that an article asks for.

    Attributes:
        article: where it asks for it.
        asked: what it asks for.
        says: what the records say; empty where they say nothing.
        gap: what is still to be written, and by whom; None where the records say enough.
    """

    article: Line
    asked: Line
    says: tuple[str, ...] = ()
    gap: str | None = None


class Part(Record):
    """The entries about one dataset."""

    dataset: Line
    title: Line
    entries: tuple[Entry, ...]


class Document(Record):
    """A record of processing, or material for an impact assessment."""

    article: Literal["art30", "art35"]
    made: AwareDatetime
    parts: Annotated[tuple[Part, ...], Field(max_length=1_000_000)]

    @property
    def gaps(self) -> int:
        """How much is still to be written."""
        return sum(entry.gap is not None for part in self.parts for entry in part.entries)


@dataclass(frozen=True)
class Facts:
    """What is known of a dataset's processing."""

    dataset: Dataset
    versions: tuple[Version, ...]
    permits: tuple[PermitRecord, ...]
    runs: int
    erasures: int


def document(store: Store, datasets: Sequence[Dataset], article: Literal["art30", "art35"], at: datetime) -> Document:
    """Return the document about some datasets; only personal data is processed in the sense of the GDPR."""
    make = _art30 if article == "art30" else _art35
    parts = [
        Part(dataset=one.id, title=one.title, entries=tuple(make(_facts(store, one))))
        for one in datasets
        if one.data_class == "personal"
    ]
    return Document(article=article, made=at, parts=tuple(parts))


def text(store: Store, datasets: Sequence[Dataset], form: Form, at: datetime) -> tuple[str, str]:
    """Return the document about some datasets, in one form, and its media type."""
    made = document(store, datasets, "art30" if form.startswith("art30") else "art35", at)
    if form.endswith(".json"):
        return made.model_dump_json(indent=2), "application/json"
    return markdown(made), "text/markdown"


def markdown(found: Document) -> str:
    """Write a document as Markdown; each gap begins with **GAP**."""
    heading = {
        "art30": "Record of processing activities (GDPR Art. 30)",
        "art35": "Material for a data protection impact assessment (GDPR Art. 35)",
    }[found.article]
    lines = [f"# {heading}", "", f"Made from the records on {found.made:%Y-%m-%d %H:%M} UTC. Gaps: {found.gaps}.", ""]
    if not found.parts:
        lines += ["No personal data is on record.", ""]
    for part in found.parts:
        lines += [f"## {_plain(part.title)} (`{part.dataset}`)", ""]
        for entry in part.entries:
            lines += [f"### {entry.article}: {entry.asked}", ""]
            lines += [f"- {_plain(one)}" for one in entry.says]
            lines += [f"- **GAP**: {entry.gap}"] if entry.gap else []
            lines.append("")
    return "\n".join(lines)


def _art30(facts: Facts) -> list[Entry]:
    dataset = facts.dataset
    return [
        _entry(
            "Art. 30(1)(a)",
            "Controller, and whom to ask",
            [f"{dataset.holder_name} ({dataset.country})", f"Steward: {dataset.steward}", *_contact(dataset)],
            None if dataset.contact else "The data holder states a contact, and its data protection officer.",
        ),
        _entry(
            "Art. 30(1)(b)",
            "Purposes",
            [_purpose(one) for one in dataset.purposes],
            None if dataset.purposes else "The data holder states the purposes.",
        ),
        _entry(
            "Art. 30(1)(c)",
            "Data subjects and categories of personal data",
            [*([dataset.population] if dataset.population else []), *_columns(facts)],
            None if dataset.population else "The data holder says whom the data is about (population).",
        ),
        _entry("Art. 30(1)(d)", "Recipients", _recipients(facts), None),
        _entry("Art. 30(1)(e)", "Transfers to third countries", [_where(dataset)], _transfer_gap(facts)),
        _retention(dataset, "Art. 30(1)(f)"),
        _entry("Art. 30(1)(g)", "Security (Art. 32)", _measures(facts), None),
    ]


def _art35(facts: Facts) -> list[Entry]:
    dataset = facts.dataset
    return [
        _entry(
            "Art. 35(7)(a)",
            "Processing and its purposes",
            [
                dataset.description or dataset.title,
                _where(dataset),
                *(_purpose(one) for one in dataset.purposes),
                *_columns(facts),
                f"{facts.runs} federated runs and {len(facts.permits)} permits are on record.",
            ],
            None if dataset.description else "The steward describes the dataset.",
        ),
        _entry(
            "Art. 35(7)(b)",
            "Legal basis",
            [dataset.legal_basis] if dataset.legal_basis else [],
            None if dataset.legal_basis else "The data holder states the legal basis (Art. 6 and 9).",
        ),
        _entry(
            "Art. 35(7)(b)",
            "Necessity and proportionality",
            [f"Known limits: {dataset.limitations}"] if dataset.limitations else [],
            "The controller says why these data are needed for the purposes, and no fewer would do.",
        ),
        _entry(
            "Art. 35(7)(c)",
            "Risks to the rights and freedoms of data subjects",
            [*([f"Known biases: {dataset.biases}"] if dataset.biases else []), *_disclosure(facts)],
            "The controller assesses likelihood and severity of each risk.",
        ),
        _entry("Art. 35(7)(d)", "Measures", [*_measures(facts), *_rights(facts)], None),
        _retention(dataset, "Art. 35(7)(d)"),
        _entry("Art. 35(2)", "Advice of the data protection officer", [], "The data protection officer writes it."),
        _entry(
            "Art. 35(9)",
            "Views of data subjects",
            [],
            "The controller seeks them, or says why that is not appropriate.",
        ),
    ]


def _entry(article: str, asked: str, says: Sequence[str], gap: str | None) -> Entry:
    return Entry(article=article, asked=asked, says=tuple(says), gap=gap)


def _retention(dataset: Dataset, article: str) -> Entry:
    end = dataset.retention.end if dataset.retention else None
    says = [f"Removed by the lab after {end}."] if end else []
    says += [f"Under legal hold: {dataset.legal_hold}"] if dataset.legal_hold else []
    return _entry(article, "Time limits for erasure", says, None if end else "The data holder states the retention.")


def _contact(dataset: Dataset) -> list[str]:
    contact = dataset.contact
    return [] if contact is None else [" ".join(filter(None, (contact.name, contact.email, contact.url)))]


def _columns(facts: Facts) -> list[str]:
    if not facts.versions:
        return []
    return [
        f"{one.name} ({one.type}{f', {one.unit}' if one.unit else ''}): {one.description or 'no description'}"
        for one in facts.versions[-1].public.columns
    ]


def _recipients(facts: Facts) -> list[str]:
    """Return who has used the data, or may; data itself reaches nobody, only results that were released."""
    users = sorted({f"{one.claims.data_user}, project {one.claims.project}" for one in facts.permits})
    return users or ["Nobody has a permit yet."]


def _where(dataset: Dataset) -> str:
    if dataset.kept_at == "site":
        return f"The data stays at its holder ({dataset.country}), at the node {dataset.node}; models travel to it."
    return (
        "The data is kept in the lab's object storage; it is used by apps there, and personal data is not downloaded."
    )


def _transfer_gap(facts: Facts) -> str | None:
    return "The lab operator states where the lab's storage is." if facts.dataset.kept_at == "lab" else None


def _measures(facts: Facts) -> list[str]:
    dataset = facts.dataset
    found = [
        "Mutual TLS between all parts; short-lived certificates; each decision in a hash-chained audit log.",
        "Foreign code runs in a sandbox without a network; nothing is used without a signed, unexpired permit.",
    ]
    if dataset.kept_at == "lab":
        found.append(
            "Raw files are encrypted with a key each (AES-256-GCM), wrapped by the data holder's key, and locked for "
            f"at most {LOCK.days} days."
        )
    if dataset.two_people:
        found.append("Two people decide on each request.")
    pseudonymised = any(one.report.pseudonym for one in facts.versions)
    return [*found, *(["People are known by the holder's pseudonyms only."] if pseudonymised else [])]


def _disclosure(facts: Facts) -> list[str]:
    if not facts.versions:
        return []
    limit = facts.versions[-1].report.disclosure_threshold
    checks = [f"Check {one.name}: {'passed' if one.passed else 'FAILED'}." for one in facts.versions[-1].report.checks]
    return [f"Counts of fewer than {limit} people are not told, nor differences that reveal them.", *checks]


def _rights(facts: Facts) -> list[str]:
    return [f"People can be erased from every version and opt out of later ones: {facts.erasures} erasures were done."]


def _facts(store: Store, dataset: Dataset) -> Facts:
    versions = store.rows("SELECT record FROM versions WHERE dataset = ? ORDER BY number", [dataset.id])
    permits = [PermitRecord.model_validate_json(row[0]) for row in store.rows("SELECT record FROM permits ORDER BY id")]
    named = "list_contains(json_extract_string(record, '$.datasets[*].dataset'), ?)"
    ((runs,),) = store.rows(f"SELECT count(*) FROM runs WHERE {named}", [dataset.id])
    query = "SELECT count(*) FROM erasures WHERE json_extract_string(record, '$.holder') = ?"
    ((erasures,),) = store.rows(query, [dataset.holder])
    return Facts(
        dataset=dataset,
        versions=tuple(Version.model_validate_json(row[0]) for row in versions),
        permits=tuple(one for one in permits if any(it.id == dataset.id for it in one.claims.datasets)),
        runs=runs,
        erasures=erasures,
    )


def _plain(text: str) -> str:
    """Keep a text on its line, and from being taken for Markdown or HTML."""
    return " ".join(text.split()).replace("<", "&lt;").replace("|", "\\|")


def _purpose(letter: str) -> str:
    return f"{Purpose(letter).label} (EHDS Art. 53(1)({letter}))"
