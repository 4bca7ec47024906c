"""The summary of training content that the AI Act's Article 53(1)(d) asks for: three parts, filled from the records.

The parts and their heads are those of the Commission's template of 24 July 2025: general information, list of data
sources, data processing aspects. It is for general-purpose models; whoever makes another one may publish it, too.
"""

from __future__ import annotations

from catalog import datasets
from catalog.records import Dataset, Version
from catalog.run_records import RunRecord
from catalog.web.pages.card import Section
from catalog.web.pages.language import mark
from catalog.web.pages.page import Page
from catalog.web.pages.wording import MODALITY
from datalab.errors import NotFoundError


def training_sections(page: Page, run: RunRecord) -> list[Section]:
    """Return the three parts."""
    used = list(_used(page, run))
    return [_identity(page, run), _content(page, used), *_sources(page, used), _processing(page, used)]


def _used(page: Page, run: RunRecord) -> list[tuple[Dataset, Version]]:
    found = []
    for one in run.datasets:
        try:
            dataset = page.lab.store.get(Dataset, "datasets", one.dataset)
            version = datasets.version(page.lab.store, one.dataset, one.version)
        except NotFoundError:
            continue
        found.append((dataset, datasets.shown(version, dataset, page.account)))
    return found


def _identity(page: Page, run: RunRecord) -> Section:
    app = (run.card or {}).get("app", {})
    named = " ".join(str(app[key]) for key in ("name", "version") if key in app)
    return Section(
        mark("Part 1, general information: provider and model"),
        (
            (mark("Provider"), run.organisation or ""),
            (mark("Contact"), ""),
            (mark("Authorised representative"), ""),
            (mark("Model and version"), f"{run.id} ({named})" if named else run.id),
            (mark("Made"), page.language.day(run.finished) if run.finished else ""),
            (mark("Models that it builds on"), ""),
            (mark("Placed on the Union market on"), ""),
        ),
    )


def _content(page: Page, used: list[tuple[Dataset, Version]]) -> Section:
    rows = [version.report.rows for _, version in used]
    kinds = sorted({page.words(MODALITY[one.modality]) for one, _ in used if one.modality})
    ends = [one.temporal.end for one, _ in used if one.temporal and one.temporal.end]
    places = sorted({page.language.country(code) for one, _ in used for code in one.spatial})
    told = sum(one or 0 for one in rows) if all(one is not None for one in rows) else None
    return Section(
        mark("Part 1, general information: modalities, size and character of the data"),
        (
            (mark("Modality"), ", ".join(kinds)),
            (mark("Rows"), page.language.count(told) if used else ""),
            (mark("Latest date of the data"), page.language.day(max(ends)) if ends and len(ends) == len(used) else ""),
            (mark("Geographical setting"), ", ".join(places)),
            (mark("Languages"), ""),
            (mark("Population"), "; ".join(one.population for one, _ in used if one.population)),
        ),
    )


def _sources(page: Page, used: list[tuple[Dataset, Version]]) -> list[Section]:
    public = [one for one in used if one[0].access == "public"]
    others = [one for one in used if one[0].access != "public"]
    none = page.words(mark("none on record"))
    return [
        Section(
            mark("Part 2, list of data sources"),
            (
                (mark("Publicly available datasets"), _named(page, public) or none),
                (mark("Private datasets of third parties"), _named(page, others) or none),
                (mark("Data crawled or scraped from online sources"), ""),
                (mark("Data of users of the provider's services"), ""),
                (mark("Synthetic data"), ""),
                (mark("Other sources"), ""),
            ),
        ),
        *(
            Section(
                mark("Part 2, list of data sources"),
                (
                    (mark("Title"), dataset.title),
                    (mark("Data holder"), f"{dataset.holder_name}, {page.language.country(dataset.country)}"),
                    (mark("Licence"), dataset.licence or ""),
                    (mark("Origin"), dataset.provenance),
                    (mark("Collection"), dataset.collection),
                    (mark("Rows"), page.language.count(version.report.rows)),
                ),
                of=f"{dataset.id} v{version.number}",
            )
            for dataset, version in used
        ),
    ]


def _named(page: Page, used: list[tuple[Dataset, Version]]) -> str:
    pattern = page.words(mark("%(title)s of %(holder)s"))
    return "; ".join(pattern % {"title": one.title, "holder": one.holder_name} for one, _ in used)


def _processing(page: Page, used: list[tuple[Dataset, Version]]) -> Section:
    contracts = [f"{version.report.contract_id} {version.report.contract_version}" for _, version in used]
    rejected = [version.report.rejected_rows for _, version in used]
    told = sum(one or 0 for one in rejected) if all(one is not None for one in rejected) else None
    personal = any(one.data_class == "personal" for one, _ in used)
    basis = "; ".join(dict.fromkeys(one.legal_basis for one, _ in used if one.legal_basis))
    return Section(
        mark("Part 3, data processing aspects"),
        (
            (mark("Reservations of rights (text and data mining)"), ""),
            (mark("Removal of illegal content"), ""),
            (mark("Preparation (contract)"), ", ".join(contracts)),
            (mark("Rejected rows"), page.language.count(told) if used else ""),
            (mark("Personal data"), page.words(mark("yes") if personal else mark("no")) if used else ""),
            (mark("Legal basis"), basis),
        ),
    )
