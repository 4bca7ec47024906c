from __future__ import annotations

from fastapi.routing import APIRoute

from catalog.web.pages.app import ROUTERS
from catalog.web.pages.page import Shown

OPEN = {
    "/",
    "/sign-in",
    "/sign-in/code",
    "/sign-in/oidc",
    "/sign-in/oidc/callback",
    "/sign-out",
    "/password",
    "/language",
    "/accessibility",
    "/public-register",
}
"""Pages that need no account."""


def every_page() -> list[APIRoute]:
    routes = [route for router in ROUTERS for route in router.routes]
    assert all(isinstance(route, APIRoute) for route in routes), (
        "a page of another kind would be left out of every walk"
    )
    return [route for route in routes if isinstance(route, APIRoute)]


def method_of(route: APIRoute) -> str:
    return min(route.methods or {"GET"})


def permissions_of(route: APIRoute) -> list[Shown]:
    return [one.call for one in route.dependant.dependencies if isinstance(one.call, Shown)]


def test_every_page_asks_for_exactly_one_permission_or_is_open_to_all() -> None:
    assert len(every_page()) >= 30
    for route in every_page():
        assert len(permissions_of(route)) == (0 if route.path in OPEN else 1), route.path


def test_decisions_need_the_second_factor() -> None:
    decisions = {
        (method_of(route), route.path) for route in every_page() for one in permissions_of(route) if one.decision
    }
    assert decisions == {
        ("GET", "/permits/{permit}/revoke"),
        ("POST", "/permits/{permit}/revoke"),
        ("GET", "/requests/{request}/approve"),
        ("POST", "/requests/{request}/approve"),
        ("GET", "/requests/{request}/reject"),
        ("POST", "/requests/{request}/reject"),
        ("GET", "/requests/{request}/sign"),
        ("POST", "/requests/{request}/sign"),
        ("GET", "/requests/{request}/answer"),
        ("POST", "/requests/{request}/answer"),
        ("POST", "/datasets/{dataset}/two-people"),
        ("POST", "/datasets/{dataset}/release"),
        ("GET", "/runs/{run}/release"),
        ("POST", "/runs/{run}/release"),
        ("POST", "/accounts"),
        ("GET", "/nodes/invite"),
        ("POST", "/nodes/invite"),
        ("GET", "/nodes/{node}/approve"),
        ("POST", "/nodes/{node}/approve"),
        ("GET", "/nodes/{node}/revoke"),
        ("POST", "/nodes/{node}/revoke"),
        ("GET", "/accounts/{name}/withdraw"),
        ("POST", "/accounts/{name}/withdraw"),
    }
