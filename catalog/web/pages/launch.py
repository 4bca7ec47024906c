"""Launching a run: the app, then permit, datasets and nodes, then parameters, then a review of each site.

The address holds what has been chosen so far, so every step can be gone back to, kept and shared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ValidationError

from catalog import runs
from catalog.access.records import PermitRecord
from catalog.dry_run import may_use
from catalog.errors import NotPermittedError
from catalog.launch import AppFacts
from catalog.permissions import Action
from catalog.records import Dataset, Slug
from catalog.run_records import Launch, LaunchPlace
from catalog.store import now
from catalog.web import launching
from catalog.web.pages.edit import problems_of
from catalog.web.pages.language import mark
from catalog.web.pages.page import Form, Page, Shown
from datalab.errors import BadInputError
from federation import lab as federation

router = APIRouter()
Submitter = Annotated[Page, Depends(Shown(Action.RUN_SUBMIT))]
ROUNDS = "num-server-rounds"
_PREFIX = "p."
_NOT_A_NUMBER = mark("Write a number.")
_NOT_A_LIST = mark("Write a list, such as [1, 2].")
_OUT_OF_RANGE = mark("This is not within the range.")
_MANY = 1000


@router.get("/launch")
def launch_form(page: Submitter, request: Request) -> Response:
    """Show the step that comes next."""
    asked = request.query_params
    if not (name := asked.get("app", "")):
        own = launching.own_apps(page.lab, page.account)
        return page.show("launch_app.html", apps=federation.apps(page.lab.home), own=own)
    app, _ = federation.find_app(page.lab.home, name)
    permit, chosen = asked.get("permit", ""), asked.getlist("dataset")
    if not (permit and chosen) or asked.get("step") == "data":
        return page.show(
            "launch_data.html",
            app=app,
            name=name,
            permits=_permits(page),
            datasets=_datasets(page, permit),
            nodes=federation.nodes(page.lab.home),
            compute=page.lab.compute.node,
            permit=permit,
            chosen=chosen,
            asked=asked,
            kept=[(key, value) for key, value in asked.multi_items() if key.startswith(_PREFIX) or key in _SETTINGS],
        )
    values, problems = _parameters(app, asked)
    if asked.get("step") != "review" or problems:
        return page.show(
            "launch_parameters.html",
            status=422 if problems else 200,
            app=app,
            name=name,
            asked=asked,
            values=values,
            problems=problems,
            places=[(one, asked.get(f"node.{one}", "")) for one in chosen],
        )
    return _review(page, app, asked, values)


@router.post("/launch")
def launch(page: Submitter, form: Form) -> Response:
    """Put the run that was reviewed into the queue."""
    try:
        asked = Launch.model_validate_json(form.get("launch", ""))
    except ValidationError as error:
        raise BadInputError(
            "This is not a run that was reviewed here.", next_step="Begin again with the app."
        ) from error
    run = launching.submit(page.lab, asked, page.account)
    return page.go(f"/runs/{run.id}")


@router.get("/runs/{run}/clone")
def clone(page: Submitter, run: Slug) -> Response:
    """Open the launch form with what another run was asked for."""
    found = runs.visible(page.lab.store, run, page.account)
    if found.launch is None:
        raise NotPermittedError(
            "This run was started by hand, and cannot be cloned.", where=f"run {run}", next_step="Launch a new one."
        )
    asked = found.launch
    pairs: list[tuple[str, Any]] = [("app", asked.app), ("permit", asked.permit), ("clone", run)]
    for place in asked.places:
        pairs += [("dataset", place.dataset), (f"node.{place.dataset}", place.node)]
    pairs += [(f"{_PREFIX}{name}", _written(value)) for name, value in asked.settings.items()]
    pairs += [(name, value) for name in _SETTINGS if (value := getattr(asked, name, None)) not in {None, ""}]
    return page.go(f"/launch?{urlencode(pairs)}")


_SETTINGS = ("seed", "deadline_minutes", "priority", "clone")


def _review(page: Page, app: AppFacts, asked: Any, values: Mapping[str, Any]) -> Response:
    said = {key: text for key in ("seed", "deadline_minutes", "priority") if (text := asked.get(key, "").strip())}
    places = [
        LaunchPlace(dataset=one, node=asked.get(f"node.{one}") or None)
        for one in asked.getlist("dataset")
        if _is_slug(one)
    ]
    try:
        wanted = Launch.model_validate(
            {
                "app": asked["app"],
                "places": places,
                "permit": asked["permit"],
                "parameters": {name: value for name, value in values.items() if value != app.parameters[name]},
                "clone_of": asked.get("clone") or None,
                **said,
            }
        )
    except ValidationError as error:
        return page.show(
            "launch_parameters.html",
            status=422,
            app=app,
            name=asked["app"],
            asked=asked,
            values=values,
            problems=problems_of(error),
            places=[(one.dataset, one.node or "") for one in places],
        )
    checked = launching.dry_run(page.lab, wanted, page.account)
    back = urlencode([(key, value) for key, value in asked.multi_items() if key != "step"])
    return page.show(
        "launch_review.html",
        app=app,
        checked=checked,
        values=values,
        back=back,
        launch=checked.launch.model_dump_json(),
    )


def _permits(page: Page) -> list[PermitRecord]:
    moment = now()
    found = page.lab.store.page(PermitRecord, "permits", after="", limit=_MANY)
    return [
        one
        for one in found
        if one.revoked is None and one.claims.not_before <= moment < one.claims.expires and may_use(one, page.account)
    ]


def _datasets(page: Page, permit: str) -> list[Dataset]:
    named = {dataset.id for one in _permits(page) if permit in {"", one.id} for dataset in one.claims.datasets}
    return [one for one in page.lab.store.page(Dataset, "datasets", after="", limit=_MANY) if one.id in named]


def _parameters(app: AppFacts, asked: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the app's parameters as they are asked for, and what is wrong with those that cannot be read."""
    values: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name, default in app.parameters.items():
        text = asked.get(f"{_PREFIX}{name}")
        if text is None:
            values[name] = default
            continue
        try:
            values[name] = _read(text.strip(), default)
        except ValueError:
            values[name] = text
            problems[f"{_PREFIX}{name}"] = _NOT_A_LIST if isinstance(default, list) else _NOT_A_NUMBER
            continue
        if name in app.described and not app.described[name].allows(values[name]):
            problems[f"{_PREFIX}{name}"] = _OUT_OF_RANGE
    return values, problems


def _read(text: str, default: Any) -> Any:
    if isinstance(default, bool):
        return text == "true"
    if isinstance(default, int | float):
        return type(default)(text)
    if isinstance(default, list):
        found = json.loads(text)
        if not isinstance(found, list):
            raise ValueError(text)  # noqa: TRY004 - of the text, not of what it was read into
        return found
    return text


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _is_slug(text: str) -> bool:
    try:
        LaunchPlace(dataset=text)
    except ValidationError:
        return False
    return True
