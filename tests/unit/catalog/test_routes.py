from __future__ import annotations

import importlib
import pkgutil

import pytest
from fastapi.routing import APIRoute

import catalog.web.routes
from catalog.web.access import Allowed, Public
from catalog.web.errors import status_of
from catalog.web.guard import API, DRS, OPEN_PATHS, PUBLIC_PATHS
from datalab import errors
from datalab.errors import DatalabError


def every_route() -> list[APIRoute]:
    names = [module.name for module in pkgutil.iter_modules(catalog.web.routes.__path__)]
    routers = [importlib.import_module(f"catalog.web.routes.{name}").router for name in names]
    routes = [route for router in routers for route in router.routes]
    assert all(isinstance(route, APIRoute) for route in routes), (
        "a route of another kind would be left out of every walk"
    )
    return [route for route in routes if isinstance(route, APIRoute)]


def address_of(route: APIRoute) -> str:
    return route.path if route.path.startswith(DRS) else f"{API}{route.path}"


def is_open(route: APIRoute) -> bool:
    """Whether a route needs no account: then it only reads, and asks for no permission."""
    assert address_of(route) not in OPEN_PATHS or route.methods == {"GET"}
    return address_of(route) in OPEN_PATHS


def is_public(route: APIRoute) -> bool:
    """Whether a route can be read without an account, and asks the permissions table for those that have one."""
    public = isinstance(action_of(route), Public)
    assert public == (PUBLIC_PATHS.fullmatch(address_of(route)) is not None), route.path
    assert not public or route.methods == {"GET"}
    return public


def action_of(route: APIRoute) -> Allowed:
    """The one permission that a route asks for."""
    (allowed,) = [one.call for one in route.dependant.dependencies if isinstance(one.call, Allowed)]
    return allowed


def test_every_route_asks_for_exactly_one_permission() -> None:
    routes = every_route()
    assert len(routes) >= 20
    for route in routes:
        if not is_open(route):
            assert action_of(route).action
    assert {route.path for route in routes if is_open(route)} == {
        "/health",
        "/register",
        "/revocations",
        f"{DRS}/service-info",
    }
    assert {route.path for route in routes if not is_open(route) and is_public(route)} == {
        "/datasets/{dataset}/exports/{form}",
        "/catalog/{form}",
    }


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.IdentityError, 401),
        (errors.RefusedError, 403),
        (errors.NotFoundError, 404),
        (errors.BadInputError, 400),
        (errors.DatalabError, 500),
    ],
)
def test_each_kind_of_error_has_its_status(kind: type[DatalabError], status: int) -> None:
    assert status_of(kind("what")) == status
