"""One dataset, or a page of the whole catalogue, in any of the forms that others read."""

from __future__ import annotations

from typing import NamedTuple

from catalog.errors import ConflictError
from catalog.records import Dataset, Version
from catalog.standards.address import Address
from catalog.standards.requirements import CatalogueForm, Form, Standard, applies, missing_for
from catalog.store import Store
from datalab.errors import NotFoundError

JSON_LD, TURTLE = "application/ld+json", "text/turtle"
_OTHERS: dict[Form, tuple[Standard, str]] = {
    "croissant": ("croissant", JSON_LD),
    "odrl": ("odrl", JSON_LD),
    "frictionless": ("frictionless", "application/json"),
    "schema.csv": ("frictionless", "text/csv"),
}
PAGE = 100
"""Datasets on a page of the catalogue."""


class Exported(NamedTuple):
    """A document and its media type."""

    text: str
    media_type: str


def export_dataset(
    dataset: Dataset, version: Version | None, form: Form, address: Address, *, accept: str = ""
) -> Exported:
    """Return a dataset in one form.

    Args:
        dataset: the record.
        version: the version that is described, or None where there is none.
        form: which one.
        address: of the lab.
        accept: the media types that the reader prefers, as in HTTP's ``Accept``.

    Raises:
        ConflictError: the standard is not meant for the dataset, or demands what the record does not say.
    """
    standard, media_type = _notation(form, accept)
    _check_ready(dataset, version, standard)
    if standard == "odrl":
        from catalog.standards.odrl import offer

        return Exported(offer(dataset, address), media_type)
    if standard in {"dcat-ap", "healthdcat-ap"}:
        from catalog.standards import dcat

        return Exported(dcat.serialise(dcat.dataset_graph(dataset, version, address), media_type), media_type)
    assert version is not None, "the other standards demand a version"
    if standard == "croissant":
        from catalog.standards.croissant import croissant

        return Exported(croissant(dataset, version, address), media_type)
    from catalog.standards import tabular

    text = tabular.schema_csv(version) if form == "schema.csv" else tabular.table_schema(version)
    return Exported(text, media_type)


def export_catalogue(store: Store, form: CatalogueForm, page: int, address: Address, *, accept: str = "") -> Exported:
    """Return a page of all datasets that have what the standard demands.

    Raises:
        NotFoundError: there are fewer pages.
    """
    from catalog.standards import dcat
    from catalog.standards.catalogue import ready, ready_count

    standard, media_type = _notation(form, accept)
    total = ready_count(store, standard)
    pages = max(1, -(-total // PAGE))
    if page > pages:
        raise NotFoundError(
            f"The catalogue has {pages} pages, not {page}.", where="page", next_step="Follow the links from page 1."
        )
    found = ready(store, standard, offset=(page - 1) * PAGE, limit=PAGE)
    graph = dcat.catalogue_graph(found, dcat.Page(page, pages, total), f"{address.api}/catalog/{form}", address)
    return Exported(dcat.serialise(graph, media_type), media_type)


def prefers_rdf(accept: str) -> bool:
    """Return whether a reader would rather have RDF than plain JSON."""
    return max(_quality(accept, TURTLE), _quality(accept, JSON_LD)) > _quality(accept, "application/json")


def _notation(form: Form, accept: str) -> tuple[Standard, str]:
    """Return the standard and the media type that a form stands for."""
    if form in _OTHERS:
        return _OTHERS[form]
    name, _, ending = form.partition(".")
    standard: Standard = "dcat-ap" if name == "dcat-ap" else "healthdcat-ap"
    if ending:
        return standard, TURTLE if ending == "ttl" else JSON_LD
    return standard, TURTLE if _quality(accept, TURTLE) > _quality(accept, JSON_LD) else JSON_LD


def _quality(accept: str, media_type: str) -> float:
    """Return how much a reader wants a media type, from 0 to 1 (RFC 9110, 12.5.1); what cannot be read counts as 0."""
    best = (-1, 0.0)  # how specific the range is that matches, and its weight
    for one in accept.split(","):
        wanted, *parameters = (part.strip().lower() for part in one.split(";"))
        ranges = ("*/*", f"{media_type.partition('/')[0]}/*", media_type)
        if wanted in ranges:
            weights = [_number(part[2:]) for part in parameters if part.startswith("q=")]
            best = max(best, (ranges.index(wanted), weights[0] if weights else 1.0))
    return best[1]


def _number(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 0.0


def _check_ready(dataset: Dataset, version: Version | None, standard: Standard) -> None:
    if not applies(dataset, standard):
        raise ConflictError(
            f"The standard {standard} is for non-public health data, and this dataset is not.",
            where=dataset.id,
            next_step="Export it as dcat-ap.",
        )
    if lacking := missing_for(dataset, version, standard):
        named = "; ".join(f"{name}: {why}" for name, why in lacking)
        raise ConflictError(
            f"The dataset does not say all that {standard} demands. {named}",
            where=dataset.id,
            next_step="The data holder's steward adds this to the dataset in the catalog.",
        )
