"""The model card of a run, and the draft of its technical documentation: filled from the records, gaps marked as gaps.

Heads of the documentation: Regulation (EU) 2024/1689, Annex IV, with Article 10 for each dataset. A draft is no
document of conformity: what the records do not say is said to be missing, and people fill it in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from catalog import datasets, runs
from catalog.access.records import PermitRecord
from catalog.permissions import Action
from catalog.records import Dataset, Slug, Version
from catalog.run_records import RunRecord
from catalog.web.pages.card import Card, Section, shown
from catalog.web.pages.language import mark
from catalog.web.pages.page import Page, Shown
from catalog.web.pages.training_content import training_sections
from catalog.web.pages.wording import PURPOSE, RUN_STATE
from datalab.errors import NotFoundError

router = APIRouter(prefix="/runs")
Reader = Annotated[Page, Depends(Shown(Action.RUN_READ))]
Form = Annotated[str, Query(alias="as", max_length=20)]


@router.get("/{run}/model-card")
def model_card(page: Reader, run: Slug, form: Form = "") -> Response:
    """Show the model card, or return it as Markdown or PDF."""
    found = runs.visible(page.lab.store, run, page.account)
    sections = [_general(page, found), _use(page, found), *_data(page, found), _training(page, found), _result(found)]
    return shown(page, Card(found, mark("Model card"), "model-card", sections), form)


@router.get("/{run}/documentation")
def documentation(page: Reader, run: Slug, form: Form = "") -> Response:
    """Show the draft of the technical documentation, or return it as Markdown or PDF."""
    found = runs.visible(page.lab.store, run, page.account)
    sections = [
        _general(page, found),
        _training(page, found),
        *_data(page, found),
        Section(
            mark("Annex IV, 3: monitoring, functioning and control"),
            ((mark("Human oversight"), ""), (mark("Limits of use"), "")),
        ),
        Section(
            mark("Annex IV, 4: appropriateness of the metrics"),
            ((mark("Metrics"), _metrics(found)), (mark("Why they are appropriate"), "")),
        ),
        Section(mark("Annex IV, 5: risk management (Article 9)"), ((mark("Risk management system"), ""),)),
        Section(
            mark("Annex IV, 6: changes through the life cycle"),
            ((mark("Made from"), found.launch.clone_of or "" if found.launch else ""),),
        ),
        Section(mark("Annex IV, 7: standards applied"), ((mark("Harmonised standards"), ""),)),
        Section(mark("Annex IV, 8: declaration of conformity"), ((mark("EU declaration of conformity"), ""),)),
        Section(mark("Annex IV, 9: post-market monitoring"), ((mark("Plan"), ""),)),
    ]
    title = mark("Technical documentation (draft)")
    return shown(page, Card(found, title, "documentation", sections), form)


@router.get("/{run}/training-content")
def training_content(page: Reader, run: Slug, form: Form = "") -> Response:
    """Show the draft of the summary of training content (AI Act Art. 53(1)(d)), or return it as Markdown or PDF."""
    found = runs.visible(page.lab.store, run, page.account)
    title = mark("Summary of training content (draft)")
    return shown(page, Card(found, title, "training-content", training_sections(page, found)), form)


def _general(page: Page, run: RunRecord) -> Section:
    app = (run.card or {}).get("app", {})
    software = (run.card or {}).get("software", {})
    return Section(
        mark("Annex IV, 1: general description"),
        (
            (mark("Run"), run.id),
            (mark("State"), page.words(RUN_STATE[run.state])),
            (mark("App"), " ".join(str(app[key]) for key in ("name", "version") if key in app)),
            (mark("App, SHA-256"), run.app_digest),
            (mark("Organisation"), run.organisation or ""),
            (mark("Started"), page.language.time(run.started) if run.started else ""),
            (mark("Ended"), page.language.time(run.finished) if run.finished else ""),
            (mark("Software"), ", ".join(f"{name} {version}" for name, version in sorted(software.items()))),
            (mark("Intended purpose of the model"), ""),
        ),
    )


def _use(page: Page, run: RunRecord) -> Section:
    permit = _permit(page, run)
    claims = permit.claims if permit else None
    return Section(
        mark("Permit and use"),
        (
            (mark("Permit"), ", ".join(run.permits)),
            (mark("Project"), claims.project if claims else ""),
            (mark("Purpose"), page.words(PURPOSE[claims.purpose]) if claims else ""),
            (mark("Conditions"), _conditions(page, claims.conditions) if claims else ""),
        ),
    )


def _conditions(page: Page, conditions: tuple[str, ...]) -> str:
    return "; ".join(conditions) or page.words(mark("none stated"))


def _training(page: Page, run: RunRecord) -> Section:
    card = run.card or {}
    config = card.get("app", {}).get("config", {})
    return Section(
        mark("Annex IV, 2: elements and development process"),
        (
            (mark("Method"), _parameters(config)),
            (mark("Nodes"), ", ".join(run.nodes)),
            (mark("Rounds"), page.language.count(len(card["rounds"])) if "rounds" in card else ""),
            (mark("Seed"), str(card.get("seed", ""))),
            (mark("Confinement of the app at the lab"), str(card.get("server_app_confined_by", ""))),
            (mark("Computational resources"), ""),
            (mark("Validation and testing"), ""),
        ),
    )


def _parameters(config: Mapping[str, Any]) -> str:
    """Return an app's parameters as text."""
    return ", ".join(f"{name} = {value}" for name, value in sorted(config.items()))


def _data(page: Page, run: RunRecord) -> list[Section]:
    sections = []
    for one in run.datasets:
        try:
            dataset = page.lab.store.get(Dataset, "datasets", one.dataset)
            version = datasets.version(page.lab.store, one.dataset, one.version)
        except NotFoundError:
            facts: tuple[tuple[str, str], ...] = ((mark("Record"), ""),)
        else:
            facts = _facts(page, dataset, datasets.shown(version, dataset, page.account))
        sections.append(
            Section(mark("Article 10: data and data governance"), facts, of=f"{one.dataset} v{one.version}")
        )
    return sections


def _facts(page: Page, dataset: Dataset, version: Version) -> tuple[tuple[str, str], ...]:
    report, language = version.report, page.language
    return (
        (mark("Title"), dataset.title),
        (mark("Data holder"), f"{dataset.holder_name}, {language.country(dataset.country)}"),
        (mark("Origin"), dataset.provenance),
        (mark("Collection"), dataset.collection),
        (mark("Population"), dataset.population),
        (mark("Preparation (contract)"), f"{report.contract_id} {report.contract_version}, {report.contract_digest}"),
        (mark("Rows"), language.count(report.rows)),
        (mark("Rejected rows"), language.count(report.rejected_rows)),
        (mark("Quality checks passed"), f"{version.checks_passed} / {len(report.checks)}"),
        (mark("Geographical setting"), ", ".join(language.country(code) for code in dataset.spatial)),
        (mark("Known biases"), dataset.biases),
        (mark("Gaps and limitations"), dataset.limitations),
        (mark("Legal basis"), dataset.legal_basis or ""),
    )


def _result(run: RunRecord) -> Section:
    return Section(
        mark("Result"),
        (
            (mark("Metrics"), _metrics(run)),
            (mark("Files, SHA-256"), "; ".join(f"{one.name} {one.sha256}" for one in run.artifacts)),
        ),
    )


def _metrics(run: RunRecord) -> str:
    rounds = (run.card or {}).get("rounds", [])
    return f"loss {rounds[-1]['loss']:.6g}" if rounds and rounds[-1].get("loss") is not None else ""


def _permit(page: Page, run: RunRecord) -> PermitRecord | None:
    if not run.permits:
        return None
    try:
        return page.lab.store.get(PermitRecord, "permits", run.permits[0])
    except NotFoundError:
        return None
