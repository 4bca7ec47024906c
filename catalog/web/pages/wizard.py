"""Registering a dataset step by step; what was said so far is a draft on the server, to leave and come back to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import ValidationError

from catalog.drafts import Draft
from catalog.permissions import Action
from catalog.records import Dataset, DatasetDraft, Role, Slug
from catalog.registration import CONTRACT_VERSION, check_unpublished, register_draft, start_curation
from catalog.web.pages.columns import TYPE, corrected
from catalog.web.pages.edit import fields_of, problems_of
from catalog.web.pages.language import mark
from catalog.web.pages.page import Form, Page, Shown

router = APIRouter(prefix="/register")
Registrar = Annotated[Page, Depends(Shown(Action.DATASET_REGISTER))]
DraftId = Slug
FILE, COLUMNS, DESCRIPTION, TERMS, REVIEW = "file", "columns", "description", "terms", "review"
STEPS = {
    FILE: mark("File"),
    COLUMNS: mark("Columns"),
    DESCRIPTION: mark("Description"),
    TERMS: mark("Terms of use"),
    REVIEW: mark("Review"),
}
_DESCRIBES = (
    "title", "id", "language", "description", "keywords", "modality", "theme", "holder", "holder_name", "country",
    "steward", "node", "contract_id", "contract_version",
)  # fmt: skip
_TERMS = ("data_class", "access", "licence", "legal_basis", "purposes")
_STEP_OF = {**dict.fromkeys(_DESCRIBES, DESCRIPTION), **dict.fromkeys(_TERMS, TERMS)}
_LATER = {"access": "restricted", "data_class": "anonymous"}
"""What stands for the terms while only the description is looked at."""
_TAKEN = mark("This identifier is taken. Choose another one.")
_OTHER_HOLDER = mark("You may register datasets of your own organisation only.")


@router.get("")
def start(page: Registrar) -> Response:
    """Show how to begin, and the drafts that there are."""
    return show_start(page)


@router.post("")
def begin(page: Registrar, form: Form) -> Response:
    """Begin a draft of a dataset that stays at its holder's node, or of one whose file comes next."""
    stays = form.get("kept_at") == "site"
    draft = page.lab.drafts.begin(page.account, "site" if stays else "lab")
    return page.go(f"/register/{draft.id}/{DESCRIPTION if stays else FILE}")


@router.post("/{draft}/discard")
def discard(page: Registrar, draft: DraftId) -> Response:
    """Remove a draft."""
    page.lab.drafts.discard(page.lab.drafts.get(draft, page.account))
    return page.go("/register?notice=discarded")


@router.get("/{draft}/file")
def file_form(page: Registrar, draft: DraftId) -> Response:
    """Show how much of the file has arrived, and ask for it or another one."""
    found = page.lab.drafts.get(draft, page.account)
    return show_step(page, found, FILE, received=page.lab.drafts.received(found) if found.file else 0, problem="")


@router.get("/{draft}/columns")
def columns_form(page: Registrar, draft: DraftId) -> Response:
    """Show what was found in the file."""
    found = page.lab.drafts.get(draft, page.account)
    if found.found is None:
        return page.go(f"/register/{draft}/{FILE}")
    return show_step(page, found, COLUMNS, problems={})


@router.post("/{draft}/columns")
def columns(page: Registrar, draft: DraftId, form: Form) -> Response:
    """Take what the steward says of the columns; a file with identifiers of persons is not kept."""
    found = page.lab.drafts.get(draft, page.account)
    if found.found is None:
        return page.go(f"/register/{draft}/{FILE}")
    inferred, problems = corrected(found.found, form)
    if problems:
        return show_step(page, found.model_copy(update={"found": inferred}), COLUMNS, status=422, problems=problems)
    if any(column.identifier for column in inferred.columns):
        page.lab.drafts.remove_file(found, found=inferred)
        return page.go(f"/register/{draft}/{FILE}?notice=identifiers")
    page.lab.drafts.save(found, found=inferred, confirmed=True)
    return page.go(f"/register/{draft}/{DESCRIPTION}")


@router.get("/{draft}/description")
def description_form(page: Registrar, draft: DraftId) -> Response:
    """Show the form that says what the data is, with what can be known of it."""
    found = page.lab.drafts.get(draft, page.account)
    return show_step(page, found, DESCRIPTION, values={**_known(page, found), **found.fields}, problems={})


@router.post("/{draft}/description")
def description(page: Registrar, draft: DraftId, form: Form) -> Response:
    """Keep what the data is, as it was written, and say what is wrong with it."""
    found = page.lab.drafts.get(draft, page.account)
    said = {name: form.get(name, "").strip() for name in _DESCRIBES if name in form}
    found = page.lab.drafts.save(found, fields={**found.fields, **said})
    problems = {name: problem for name, problem in _problems(page, found, _LATER).items() if name in _DESCRIBES}
    if problems:
        return show_step(page, found, DESCRIPTION, status=422, values=found.fields, problems=problems)
    return page.go(f"/register/{draft}/{TERMS}")


@router.get("/{draft}/terms")
def terms_form(page: Registrar, draft: DraftId) -> Response:
    """Show the form that says on what terms the data may be used."""
    found = page.lab.drafts.get(draft, page.account)
    access = {"access": "federated-only"} if found.kept_at == "site" else {}
    return show_step(page, found, TERMS, values={**access, **found.fields}, problems={})


@router.post("/{draft}/terms")
def terms(page: Registrar, draft: DraftId, form: Form) -> Response:
    """Keep the terms, as they were written, and say what is wrong with them."""
    found = page.lab.drafts.get(draft, page.account)
    said = {name: form.get(name, "").strip() for name in _TERMS}
    found = page.lab.drafts.save(found, fields={**found.fields, **said})
    problems = {name: problem for name, problem in _problems(page, found).items() if name in _TERMS}
    if problems:
        return show_step(page, found, TERMS, status=422, values=found.fields, problems=problems)
    return page.go(f"/register/{draft}/{REVIEW}")


@router.get("/{draft}/review")
def review_form(page: Registrar, draft: DraftId) -> Response:
    """Show everything that will be registered."""
    return _review(page, page.lab.drafts.get(draft, page.account))


@router.post("/{draft}/review")
def publish(page: Registrar, draft: DraftId, form: Form) -> Response:
    """Register the dataset; if its file is here, start the pipeline and show it.

    In personal data, a column in which every value is different goes on only if the steward has looked at it.
    """
    found = page.lab.drafts.get(draft, page.account)
    if found.run is not None and found.dataset and page.lab.curations.find(found.dataset, found.run).alive:
        return page.go(f"/datasets/{found.dataset}/curation/{found.run}")
    if _missing_steps(page, found) or (_telling(found) and form.get("looked") != "yes"):
        return _review(page, found, status=422)
    dataset = register_draft(page.lab, found, _described(found), page.account)
    if found.kept_at == "site":
        page.lab.drafts.discard(found)
        return page.go(f"/datasets/{dataset.id}?notice=registered")
    return page.go(f"/datasets/{dataset.id}/curation/{start_curation(page.lab, found, dataset, page.account)}")


def _is_published(page: Page, draft: Draft) -> bool:
    """Return whether a draft has become a version; it is removed when the pipeline's process has ended."""
    if draft.dataset is None or draft.run is None:
        return False
    return page.lab.curations.find(draft.dataset, draft.run).progress.version is not None


def _described(draft: Draft, later: Mapping[str, str] | None = None) -> DatasetDraft:
    """Return the dataset that a draft describes; raises ValidationError if it is not whole."""
    fields: dict[str, Any] = {**(later or {}), **fields_of(draft.fields, tuple(DatasetDraft.model_fields))}
    if draft.kept_at == "lab":
        fields = {**fields, "contract_id": fields.get("id", ""), "contract_version": CONTRACT_VERSION, "node": None}
    return DatasetDraft.model_validate({**fields, "kept_at": draft.kept_at})


def _problems(page: Page, draft: Draft, later: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what is wrong with a draft's fields."""
    problems: dict[str, str] = {}
    fields = draft.fields
    if draft.kept_at == "site":
        later = {**(later or {}), **({"access": "federated-only"} if later else {})}
    try:
        _described(draft, later)
    except ValidationError as error:
        problems = problems_of(error)
    if page.account.role is Role.STEWARD and fields.get("holder", "") != page.account.organisation:
        problems.setdefault("holder", _OTHER_HOLDER)
    taken = page.lab.store.rows("SELECT 1 FROM datasets WHERE id = ?", [fields.get("id", "")])
    if taken and fields["id"] != draft.dataset:
        problems["id"] = _TAKEN
    return problems


def _missing_steps(page: Page, draft: Draft) -> list[str]:
    """Return the steps that are still to be done before a draft can be registered."""
    missing = []
    if draft.kept_at == "lab":
        if draft.upload is None and (draft.file is None or page.lab.drafts.received(draft) != draft.file.bytes):
            missing.append(FILE)
        if not draft.confirmed:
            missing.append(COLUMNS)
        check_unpublished(page.lab, draft)
    wrong = {_STEP_OF.get(field, DESCRIPTION) for field in _problems(page, draft)}
    return [*missing, *(step for step in (DESCRIPTION, TERMS) if step in wrong)]


def _telling(draft: Draft) -> list[str]:
    """Return the columns of personal data in which every value is different, and which so may tell who a person is."""
    if draft.found is None or draft.fields.get("data_class") != "personal":
        return []
    return [column.header for column in draft.found.columns if column.why == "values" and not column.identifier]


def _review(page: Page, draft: Draft, *, status: int = 200) -> Response:
    missing = _missing_steps(page, draft)
    return show_step(page, draft, REVIEW, status=status, values=draft.fields, missing=missing, telling=_telling(draft))


def show_start(page: Page, *, status: int = 200, problem: str = "") -> Response:
    """Show how to begin, and what was wrong with a file that was sent to begin with."""
    drafts = [one for one in page.lab.drafts.of(page.account) if not (one.is_empty or _is_published(page, one))]
    return page.show("register.html", status=status, drafts=drafts, problem=problem)


def show_step(page: Page, draft: Draft, step: str, *, status: int = 200, **values: Any) -> Response:
    """Show one step of a draft, with what its template takes."""
    steps = {name: text for name, text in STEPS.items() if draft.kept_at == "lab" or name not in {FILE, COLUMNS}}
    return page.show(
        f"register_{step}.html",
        status=status,
        draft=draft,
        steps=steps,
        step=step,
        types=TYPE,
        **values,
    )


def _known(page: Page, draft: Draft) -> dict[str, str]:
    """Return what can be filled in: from the file's name, the account, and the holder's latest dataset."""
    known = {"language": page.language.code}
    if draft.file is not None:
        stem = re.sub(r"[^A-Za-z0-9]+", " ", draft.file.name.rpartition(".")[0]).strip()
        title = draft.file.title or stem[:1].upper() + stem[1:]
        known |= {"title": title, "id": _free(page, stem.lower().replace(" ", "-")[:60])}
    if draft.found is not None:
        known["modality"] = "tabular"
    if page.account.role is Role.STEWARD:
        known["holder"] = page.account.organisation
        query = "SELECT record FROM datasets WHERE record ->> 'holder' = ? ORDER BY record ->> 'created' DESC LIMIT 1"
        for (record,) in page.lab.store.rows(query, [page.account.organisation]):
            before = Dataset.model_validate_json(record)
            known |= {name: str(getattr(before, name)) for name in ("holder_name", "country", "steward", "theme")}
    return known


def _free(page: Page, name: str) -> str:
    """Return an identifier that no dataset has, like ``name``."""
    taken = {row[0] for row in page.lab.store.rows("SELECT id FROM datasets WHERE starts_with(id, ?)", [name])}
    return next(one for one in (name, *(f"{name}-{n}" for n in range(2, len(taken) + 3))) if one not in taken)
