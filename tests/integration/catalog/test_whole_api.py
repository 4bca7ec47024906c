"""The whole API, as its own description says it is: no request breaks it, and nothing is allowed that must not be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok

from catalog.client import lab_client
from catalog.permissions import ALLOWED
from catalog.records import Role
from catalog.web.guard import API
from datalab.home import Home
from tests.support.pages import deciding_token, settle
from tests.unit.catalog.examples import anonymous, draft
from tests.unit.catalog.test_routes import action_of, address_of, every_route, is_open, is_public

PERSONS = (Role.STEWARD, Role.RESEARCHER, Role.ACCESS_BODY, Role.AUDITOR)
KNOWN = {
    "dataset": "gbsg",
    "number": 1,
    "form": "dcat-ap",
    "project": "project-1",
    "request": "request-1",
    "object_id": "atlas.v1.0",
}
"""Path parameters of records that are there, or could be."""


@pytest.fixture(scope="module")
def tokens(catalog_home: Home) -> dict[Role | None, str | None]:
    """A bearer token for every role, and none."""
    made: dict[Role | None, str | None] = {role: catalog_home.secret(f"token-{role}") for role in Role}
    with lab_client(catalog_home, "operator") as client:
        for role in PERSONS:
            made[role] = deciding_token(catalog_home, settle(catalog_home, f"a-{role}", role))
        client.register_dataset(draft())
        client.register_dataset(anonymous(id="atlas"))
    return {**made, None: None}


@pytest.fixture(scope="module")
def http(catalog_home: Home) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=catalog_home.address("lab")["url"], trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def operations(http: httpx.Client, tokens: dict[Role | None, str | None]) -> dict[tuple[str, str], Any]:
    """Every operation of the API's description, by method and path."""
    headers = {"Authorization": f"Bearer {tokens[Role.OPERATOR]}"}
    described = http.get(f"{API}/openapi.json", headers=headers).json()
    found = schemathesis.openapi.from_dict(described).get_all_operations()
    every = [one.ok() for one in found if isinstance(one, Ok)]
    return {(one.method.upper(), one.path): one for one in every}


def roles_of(route: APIRoute) -> frozenset[Role | None]:
    """Who may use a route, by the one table; None is who has no account."""
    if is_open(route):
        return frozenset({*Role, None})
    return frozenset({*ALLOWED[action_of(route).action], *([None] if is_public(route) else [])})


def send(http: httpx.Client, case: Any, token: str | None, path: dict[str, Any]) -> httpx.Response:
    """Send what schemathesis made up, with some of its path parameters replaced."""
    case.path_parameters = {**(case.path_parameters or {}), **path}
    request = case.as_transport_kwargs(base_url=str(http.base_url))
    headers = {name: value for name, value in request["headers"].items() if name.lower() != "authorization"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    content = {name: request[name] for name in ("json",) if request.get(name) is not None}
    if isinstance(request.get("data"), bytes | str):
        content["content"] = request["data"]
    return http.request(request["method"], request["url"], params=request.get("params"), headers=headers, **content)


def test_the_description_says_every_route(operations: dict[tuple[str, str], Any]) -> None:
    routes = {(min(route.methods or ()), address_of(route)) for route in every_route()}
    assert {*operations} == routes
    assert len(operations) > 80


@pytest.mark.parametrize("route", every_route(), ids=lambda route: f"{min(route.methods)} {route.path}")
def test_whatever_is_sent_by_whomever_is_answered_and_nobody_does_what_the_table_forbids(
    route: APIRoute,
    http: httpx.Client,
    tokens: dict[Role | None, str | None],
    operations: dict[tuple[str, str], Any],
) -> None:
    operation = operations[min(route.methods or ()), address_of(route)]
    allowed = roles_of(route)
    named = {name: value for name, value in KNOWN.items() if f"{{{name}}}" in route.path}

    @settings(
        max_examples=8,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    @given(case=operation.as_strategy(), role=st.sampled_from([*Role, None]), known=st.booleans())
    def anybody_sends_anything(case: Any, role: Role | None, known: Any) -> None:
        if isinstance((case.query or {}).get("wait"), int | float):
            case.query["wait"] = 0  # for how long the scheduler is kept waiting for work is no matter here
        for who in (role, next(iter(allowed))):
            answer = send(http, case, tokens[who], named if known else {})
            assert answer.status_code < 500, answer.text
            if who not in allowed:
                assert answer.status_code == (401 if who is None else 403), (who, answer.text)

    anybody_sends_anything()
