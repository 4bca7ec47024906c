"""Changing a dataset: the form, and what is wrong with what was written into a form about a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import ValidationError

from catalog import datasets
from catalog.errors import ConflictError
from catalog.permissions import Action, check_holder
from catalog.records import Dataset, DatasetPatch, Particulars
from catalog.web.access import DatasetId
from catalog.web.pages.language import mark
from catalog.web.pages.page import Form, Page, Shown

router = APIRouter()
Editor = Annotated[Page, Depends(Shown(Action.DATASET_UPDATE))]
_BY_API = {"translations", "two_people", "release", *Particulars.model_fields}
_CHANGEABLE = tuple(name for name in DatasetPatch.model_fields if name not in _BY_API)
"""What the form can change; texts in further languages and what only standards ask for come by the API."""
_PROBLEMS = {
    "missing": mark("Fill this in."),
    "string_too_short": mark("Fill this in."),
    "string_too_long": mark("This is too long."),
    "string_pattern_mismatch": mark("This is not written as the hint says."),
    "literal_error": mark("Choose one from the list."),
}
_NOT_VALID = mark("This is not valid.")
_CONTRADICTIONS = {
    mark("a dataset kept at a site names its node, and one kept at the lab names none"): "node",
    mark("a dataset kept at a site is federated-only"): "access",
    mark("personal data cannot be public"): "access",
    mark("personal data needs a legal basis and at least one purpose"): "legal_basis",
}
"""What a dataset may not say of itself, and the field beside which the form says so."""


@router.get("/datasets/{dataset}/edit")
def edit_form(page: Editor, dataset: DatasetId) -> Response:
    """Show a dataset in a form."""
    found = page.lab.store.get(Dataset, "datasets", dataset)
    check_holder(page.account, found.holder)
    return page.show(
        "edit.html", dataset=found, values=values_of(found), revision=found.revision, problems={}, newer=()
    )


@router.post("/datasets/{dataset}/edit")
def edit(page: Editor, dataset: DatasetId, form: Form) -> Response:
    """Change a dataset, unless somebody else has meanwhile: then the form shows both, and nothing is lost."""
    found = page.lab.store.get(Dataset, "datasets", dataset)
    check_holder(page.account, found.holder)
    fields = fields_of(form, _CHANGEABLE)
    revision = int(text) if (text := form.get("revision", "")).isdecimal() and len(text) < 8 else 0
    newer: list[str] = []
    told = ""
    problems: dict[str, str] = {}
    try:
        whole = {**found.model_dump(), **dict.fromkeys(_CHANGEABLE)}
        empty = {"description": "", "keywords": (), "purposes": ()}
        checked = Dataset.model_validate({**whole, **empty, **fields})
        patch = DatasetPatch.model_validate({name: getattr(checked, name) for name in _CHANGEABLE})
        datasets.update(page.lab.store, dataset, patch, revision=revision, account=page.account)
    except ValidationError as error:
        problems = problems_of(error)
    except ConflictError as error:
        told = error.what
        found = page.lab.store.get(Dataset, "datasets", dataset)
        newer, revision = _differing(found, form) or ["title"], found.revision
    if problems or newer:
        return page.show(
            "edit.html",
            status=409 if newer else 422,
            dataset=found,
            values=form,
            revision=revision,
            problems=problems,
            told=told,
            newer=[(name, values_of(found)[name]) for name in newer],
        )
    return page.go(f"/datasets/{dataset}?notice=changed")


def problems_of(error: ValidationError) -> dict[str, str]:
    """Return what is wrong, by field, marked for translation."""
    problems: dict[str, str] = {}
    for one in error.errors(include_input=False, include_url=False):
        said = str(one["msg"]).removeprefix("Value error, ")
        field = str(one["loc"][0]) if one["loc"] else _CONTRADICTIONS.get(said, "id")
        problems.setdefault(field, said if said in _CONTRADICTIONS else _PROBLEMS.get(one["type"], _NOT_VALID))
    return problems


def fields_of(form: Mapping[str, str], names: tuple[str, ...]) -> dict[str, Any]:
    """Return what a form says about some of a dataset's fields; what was left empty is left out."""
    said: dict[str, Any] = {name: text for name in names if (text := form.get(name, "").strip())}
    if "purposes" in said:
        said["purposes"] = said["purposes"].split()
    if "keywords" in said:
        said["keywords"] = [word.strip() for word in said["keywords"].split(",") if word.strip()]
    return said


def values_of(dataset: Dataset) -> dict[str, str]:
    """Return a dataset's fields as a form has them."""
    fields = dataset.model_dump()
    lists = {"purposes": " ".join(dataset.purposes), "keywords": ", ".join(dataset.keywords)}
    return {**{name: str(value or "") for name, value in fields.items()}, **lists}


def _differing(dataset: Dataset, form: Mapping[str, str]) -> list[str]:
    now = values_of(dataset)
    return [name for name in _CHANGEABLE if form.get(name, "").strip() != now[name].strip()]
