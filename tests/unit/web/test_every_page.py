"""The list of pages that tests and benchmarks go through has every page of the lab."""

from __future__ import annotations

from collections import defaultdict

from tests.support.every_page import EMPTY, NOT_PAGES, PLACES, route_of, shown
from tests.unit.web.test_routes import every_page

ANYTHING = defaultdict[str, str](lambda: "00000000-0000-0000-0000-000000000001")
"""Stands for whatever an address names."""


def test_every_route_that_shows_a_page_is_gone_through() -> None:
    known = {route.path for route in every_page()}
    assert known >= NOT_PAGES
    visited = set()
    for place in (*PLACES, *EMPTY):
        route = route_of(place.at(ANYTHING))
        assert route is not None, place.address
        visited.add(route.path)
    assert shown() - visited == set()


def test_each_page_has_a_name_of_its_own() -> None:
    names = [place.name for place in (*PLACES, *EMPTY)]
    assert len(set(names)) == len(names)
