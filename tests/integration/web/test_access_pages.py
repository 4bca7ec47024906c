"""What the pages of requests do with what is sent to them."""

from __future__ import annotations

import html
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pyotp
import pytest

from catalog.client import lab_client
from catalog.records import Role
from datalab.home import Home
from tests.support.pages import NEEDED, PASSWORD, Person, settle, signed_in, visit
from tests.unit.access.test_request_states import COMPLETE
from tests.unit.catalog.examples import anonymous, draft

TYPED = {name: value for name, value in COMPLETE.items() if isinstance(value, str)} | {
    "datasets": "gbsg",
    "people": "rosa",
    "months": "12",
    "undertaken": "yes",
}


@pytest.fixture(scope="module")
def stocked(catalog_home: Home, people: dict[Role, Person]) -> Home:
    with lab_client(catalog_home, "operator") as client:
        client.register_dataset(draft())
        client.register_dataset(anonymous(id="weather", theme="ENVI", access="restricted"))
    return catalog_home


@contextmanager
def deciding(home: Home, role: Role, organisation: str) -> Iterator[httpx.Client]:
    """Somebody who has given the second factor."""
    person = settle(home, f"d-{uuid.uuid4().hex[:8]}", role, organisation)
    with signed_in(home, person) as http:
        secret = re.search(r'name="secret" value="([A-Z2-7]{32})"', http.get("/account/second-factor").text)
        assert secret is not None
        form = {"secret": secret[1], "password": PASSWORD, "code": pyotp.TOTP(secret[1]).at(int(time.time()))}
        assert http.post("/account/second-factor", data=form).status_code == 303
        yield http


def begin(http: httpx.Client, **changes: str) -> str:
    form = {"kind": "data", "datasets": "gbsg", "title": "Recurrence", **changes}
    answer = http.post("/requests", data=form)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"].removesuffix("/edit")


def revision(http: httpx.Client, address: str) -> str:
    found = re.search(r'name="revision" value="(\d+)"', http.get(address).text)
    assert found is not None
    return found[1]


def hand_in(http: httpx.Client, address: str, **changes: str) -> None:
    form = {**TYPED, "revision": revision(http, f"{address}/edit"), "do": "submit", **changes}
    answer = http.post(f"{address}/edit", data=form)
    assert answer.headers.get("Location") == f"{address}?notice=submitted", answer.text


def test_nothing_typed_is_lost_whatever_is_wrong_with_it(stocked: Home, people: dict[Role, Person]) -> None:
    with signed_in(stocked, people[Role.RESEARCHER]) as http:
        address = begin(http)
        page = http.post(
            f"{address}/edit", data={**TYPED, "months": "a year", "aim": 'Kept "as it was"', "revision": "1"}
        )
        assert page.status_code == 422
        assert 'id="months-wrong"' in page.text
        assert 'value="a year"' in page.text
        assert "Kept &#34;as it was&#34;" in page.text
        assert "Nothing was saved yet" in page.text
        kept = http.post(f"{address}/edit", data={"aim": "Half a sentence", "revision": "1", "do": "submit"})
        assert kept.status_code == 422
        assert "The draft is kept as it is here" in kept.text
        assert "Half a sentence" in http.get(f"{address}/edit").text
        late = http.post(f"{address}/edit", data={**TYPED, "aim": "From another window", "revision": "1"})
        assert late.status_code == 409
        assert "From another window" in late.text
        assert "Half a sentence" in http.get(f"{address}/edit").text
        for form in (
            {"kind": "data"},
            {"kind": "secret", "title": "x"},
            {"kind": "data", "title": "x", "datasets": "Ä!"},
        ):
            assert http.post("/requests", data=form).status_code == 422


def test_a_strangers_request_is_not_there(stocked: Home, people: dict[Role, Person]) -> None:
    stranger = settle(stocked, "stranger", Role.RESEARCHER, "elsewhere")
    with signed_in(stocked, people[Role.RESEARCHER]) as http:
        address = begin(http)
        hand_in(http, address)
    with signed_in(stocked, stranger) as http:
        for path in ("", "/edit", "/withdraw"):
            assert http.get(address + path).status_code == 404
        for path in ("/edit", "/withdraw", "/comments"):
            assert http.post(address + path, data={**TYPED, "revision": "2", "text": "x"}).status_code == 404
        assert "Recurrence" not in http.get("/requests").text
        assert "Recurrence" not in http.get("/projects").text
    with signed_in(stocked, people[Role.AUDITOR]) as http:
        assert http.get(address).status_code == 200
        assert http.post(f"{address}/comments", data={"text": "x"}).status_code == 403


def test_a_steward_gives_a_statistic_and_everybody_reads_it(stocked: Home, people: dict[Role, Person]) -> None:
    with signed_in(stocked, people[Role.RESEARCHER]) as http:
        address = begin(http, kind="statistic", datasets="weather", title="Rainfall")
        hand_in(http, address, aim="Mean rainfall by region", datasets="weather", people="", months="")
    with deciding(stocked, Role.ACCESS_BODY, "hdab") as http:
        assert http.get(f"{address}/approve").status_code == 404
    with deciding(stocked, Role.STEWARD, "gbsg") as http:
        form = {"revision": revision(http, f"{address}/approve"), "conditions": "Name the source."}
        assert http.post(f"{address}/approve", data=form).headers["Location"] == f"{address}/answer?notice=approved"
        assert http.get(f"{address}/sign").status_code == 409
        form = {"revision": revision(http, f"{address}/answer"), "text": ""}
        assert http.post(f"{address}/answer", data=form).status_code == 422
        answered = http.post(f"{address}/answer", data={**form, "text": "North <b>801</b> mm"})
        assert answered.headers["Location"] == f"{address}?notice=answered"
    with visit(stocked) as http:
        shown = http.get("/public-register").text
        assert "North &lt;b&gt;801&lt;/b&gt; mm" in shown
        assert "rosa" not in html.unescape(shown)


def test_the_steward_says_that_two_people_decide_and_needs_a_second_factor_for_it(
    stocked: Home, people: dict[Role, Person]
) -> None:
    with signed_in(stocked, people[Role.STEWARD]) as http:
        refused = http.post("/datasets/gbsg/two-people", data={"two_people": "yes"})
        assert (refused.status_code, NEEDED in refused.text) == (401, True)
    with deciding(stocked, Role.STEWARD, "erasmus") as http:
        assert http.post("/datasets/gbsg/two-people", data={"two_people": "yes"}).status_code == 403
    with deciding(stocked, Role.STEWARD, "gbsg") as http:
        assert http.post("/datasets/gbsg/two-people", data={"two_people": "yes"}).status_code == 303
        assert "Two people have to approve." in http.get("/datasets/gbsg/access").text
        assert http.post("/datasets/gbsg/two-people", data={"two_people": "no"}).status_code == 303
        assert "Two people have to approve." not in http.get("/datasets/gbsg/access").text


def test_where_the_button_is(stocked: Home, people: dict[Role, Person]) -> None:
    with lab_client(stocked, "operator") as client:
        client.register_dataset(anonymous(id="open-data"))
    for role, path, there in (
        (Role.RESEARCHER, "/datasets/gbsg", True),
        (Role.RESEARCHER, "/datasets/open-data", False),
        (Role.STEWARD, "/datasets/gbsg", False),
    ):
        with signed_in(stocked, people[role]) as http:
            assert ("Request access" in http.get(path).text) == there, (role, path)


def test_nothing_is_begun_for_a_dataset_that_there_is_not(stocked: Home, people: dict[Role, Person]) -> None:
    with signed_in(stocked, people[Role.RESEARCHER]) as http:
        title = f"Project {uuid.uuid4().hex[:8]}"
        answer = http.post("/requests", data={"kind": "data", "datasets": "gbsg, gbgs", "title": title})
        assert answer.status_code == 422
        assert "One of these is no dataset of this lab." in answer.text
        assert 'value="gbsg, gbgs"' in answer.text
        assert title not in http.get("/projects").text


def test_what_was_written_outlives_the_session(stocked: Home, people: dict[Role, Person]) -> None:
    written = {"kind": "data", "datasets": "gbsg", "title": f'"After & <before>" {uuid.uuid4().hex[:8]}'}
    with signed_in(stocked, people[Role.RESEARCHER]) as http:
        assert http.post("/sign-out").status_code == 303
        answer = http.post("/requests", data=written)
        assert answer.status_code == 401
        again = answer.text.partition('<form method="post" action="/requests">')[2].partition("</form>")[0]
        kept = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', again))
        assert {name: html.unescape(value) for name, value in kept.items()} == written
    with signed_in(stocked, people[Role.RESEARCHER]) as http:
        assert http.post("/requests", data=written).status_code == 303
    with visit(stocked) as http:
        answer = http.post("/account/second-factor", data={"password": PASSWORD, "code": "123456"})
        assert (answer.status_code, PASSWORD in answer.text) == (303, False)
