from __future__ import annotations

import pytest

from catalog import limits
from catalog.errors import TooManyRequestsError
from catalog.limits import RATES, Kind, Limits, kind_of
from catalog.web.guard import _network


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def search(counted: Limits, who: str = "account rosa") -> None:
    counted.check("GET", "/api/v1/search", who)


def test_whoever_asks_too_often_waits_as_long_as_is_said_and_nobody_else_does() -> None:
    clock = Clock()
    counted = Limits(clock)
    for _ in range(RATES[Kind.SEARCH].at_once):
        search(counted)
    with pytest.raises(TooManyRequestsError) as refused:
        search(counted)
    search(counted, "account otto")
    counted.check("GET", "/api/v1/catalog/dcat-ap", "account rosa")
    clock.now += refused.value.wait
    search(counted)


def test_what_it_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MAX_KEYS", 10)
    counted = Limits(Clock())
    for number in range(100):
        search(counted, f"from {number}")
    assert len(counted._left) == 10


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/api/v1/search", Kind.SEARCH),
        ("GET", "/datasets", Kind.SEARCH),
        ("GET", "/datasets/gbsg", None),
        ("GET", "/api/v1/datasets/gbsg/exports/croissant", Kind.EXPORT),
        ("GET", "/api/v1/datasets/gbsg/versions/1/download", Kind.EXPORT),
        ("GET", "/ga4gh/drs/v1/objects/gbsg.v1.0", Kind.EXPORT),
        ("POST", "/api/v1/datasets/gbsg/uploads", Kind.UPLOAD),
        ("POST", "/register/file", Kind.UPLOAD),
        ("POST", "/register/file/whole", Kind.UPLOAD),
        ("POST", "/register/draft-1/file/end", Kind.UPLOAD),
        ("PUT", "/register/draft-1/file", None),
    ],
)
def test_what_costs_much_is_counted(method: str, path: str, kind: Kind | None) -> None:
    assert kind_of(method, path) is kind


def test_all_addresses_of_one_network_of_ipv6_count_as_one() -> None:
    assert _network("2001:db8:1:2::1") == _network("2001:db8:1:2:ffff::9") != _network("2001:db8:1:3::1")
    assert _network("192.0.2.1") != _network("192.0.2.2")
    assert _network("testclient") == "testclient"
