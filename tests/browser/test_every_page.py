"""Every page, in every language, wide and narrow, light and dark: axe finds nothing, and nothing is too wide."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from catalog.records import Role
from catalog.web.pages.language import NAMES
from datalab.home import Home
from tests.browser.conftest import AXE, shoot
from tests.support.every_page import EMPTY, HALF, NOBODY, SIGNED_IN, Place
from tests.support.filled import Filled, filled_lab, settle_all
from tests.support.pages import PASSWORD, Person

pytestmark = pytest.mark.slow
WIDE, NARROW = 1280, 360
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PICTURED = {(WIDE, "light"): "", (NARROW, "dark"): "-small"}
LOCALES = {"en": "en-IE", "de": "de-DE", "fr": "fr-FR"}


@pytest.fixture(scope="module")
def empty(catalog_home: Home) -> Filled:
    """A lab with nothing in it but people."""
    made = Filled(catalog_home, names={"app": "logistic"})
    settle_all(made)
    return made


@pytest.fixture(scope="module")
def filled(lab_home: Home, empty: Filled, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """A lab in which every page has something to show.

    The empty one is opened before: they share a bucket, and a lab that opens sweeps uploads that are not its own.
    """
    with filled_lab(lab_home, tmp_path_factory.mktemp("filled")) as made:
        yield made


@pytest.fixture(scope="module")
def lab(filled: Filled) -> Home:
    return filled.home


@contextmanager
def visiting(chromium: Browser, url: str, cookie: str | None, code: str, **more: Any) -> Iterator[Page]:
    """Open a page of whoever has that cookie; nothing in it may complain, of the content policy above all."""
    context = chromium.new_context(base_url=url, locale=LOCALES[code], viewport={"width": 1280, "height": 900}, **more)
    context.set_default_timeout(20_000)
    if cookie is not None:
        context.add_cookies([{"name": "datalab", "value": cookie, "url": url, "sameSite": "Strict"}])
    complaints: list[str] = []
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    yield context.new_page()
    context.close()
    assert [one for one in complaints if "responded with a status of 4" not in one] == []


def sign_in(page: Page, person: Person) -> None:
    page.goto("/sign-in")
    page.locator("#name").fill(person.name)
    page.locator("#password").fill(PASSWORD)
    page.locator("#password").press("Enter")
    page.wait_for_url("**/datasets")


def faults(page: Page) -> list[str]:
    """What axe finds, with all of its rules on."""
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


def check(page: Page, where: str, picture: str = "") -> list[str]:
    """Look at a page wide and narrow, each in light and in dark; nothing is wider than the window.

    Args:
        page: the page as it is.
        where: what faults are said to be of.
        picture: name of the screenshots, of light and wide and of dark and narrow; none without.
    """
    wrong: list[str] = []
    for width, height in ((WIDE, 900), (NARROW, 740)):
        page.set_viewport_size({"width": width, "height": height})
        for theme in THEMES:
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            wrong += [f"{where} {theme} {width}: {fault}" for fault in faults(page)]
            if picture and (width, theme) in PICTURED:
                shoot(page, picture + PICTURED[width, theme])
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            wrong.append(f"{where}: wider than {width} pixels")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": WIDE, "height": 900})
    return wrong


def choose(page: Page, code: str) -> None:
    page.locator(f"button[name=language][value={code}]").click()
    expect(page.locator("html")).to_have_attribute("lang", code)


def go_through(
    chromium: Browser, filled: Filled, code: str, cookie: str | None, places: Iterable[Place]
) -> Iterator[str]:
    """Look at pages as one person, and yield what is wrong with them."""
    with visiting(chromium, filled.url, cookie, code) as page:
        for place in places:
            answer = page.goto(place.at(filled.names))
            assert answer is not None
            assert answer.status == place.status, place.name
            assert page.url == f"{filled.url}{place.at(filled.names)}", f"{place.name} is another page"
            expect(page.locator("html")).to_have_attribute("lang", code)
            if place.name == "audit":
                expect(page.locator("#verified .badge")).to_be_visible()
            yield from check(page, f"{code} {place.name}", f"{code}-{place.name}")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("code", NAMES)
def test_axe_finds_nothing_on_any_page_and_each_fits_a_small_screen(
    chromium: Browser, filled: Filled, empty: Filled, code: str
) -> None:
    wrong: list[str] = []
    for role, places in itertools.groupby((*NOBODY, *SIGNED_IN), lambda place: place.role):
        wrong += go_through(chromium, filled, code, filled.cookies[role] if role else None, places)
    wrong += go_through(chromium, filled, code, filled.half, HALF)
    for role, places in itertools.groupby(EMPTY, lambda place: place.role):
        wrong += go_through(chromium, empty, code, empty.cookies[role] if role else None, places)
    assert wrong == []


@pytest.mark.parametrize("code", NAMES)
def test_axe_finds_nothing_where_a_form_is_wrong_or_a_secret_is_shown_once(
    chromium: Browser, filled: Filled, code: str
) -> None:
    wrong: list[str] = []
    with visiting(chromium, filled.url, filled.cookies[Role.STEWARD], code) as page:
        for step in ("description", "terms"):
            page.goto(f"/register/{filled.names['at_site']}/{step}")
            page.locator("main button.primary").click()
            expect(page.get_by_role("alert")).to_be_visible()
            wrong += check(page, f"{code} {step} with mistakes", f"{code}-register-{step}-wrong")
    with visiting(chromium, filled.url, filled.cookies[Role.RESEARCHER], code) as page:
        page.goto("/account")
        page.locator("#label").fill("notebook")
        page.locator("main button.primary").click()
        expect(page.locator("code").filter(has_text="datalab_")).to_be_visible()
        wrong += check(page, f"{code} /account with a token", f"{code}-token")
    assert wrong == []


def test_a_wrong_password_is_said_and_the_name_is_kept(chromium: Browser, filled: Filled) -> None:
    with visiting(chromium, filled.url, None, "en") as page:
        page.goto("/sign-in")
        page.locator("#name").fill("rosa")
        page.locator("#password").fill("a wrong password")
        page.locator("#password").press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("do not belong together")
        expect(page.locator("#name")).to_have_value("rosa")
        assert check(page, "/sign-in with mistakes") == []
        sign_in(page, filled.people[Role.RESEARCHER])
        page.goto("/audit")
        expect(page.get_by_role("heading", level=1)).to_have_text("You may not do this")


def test_without_javascript_the_list_is_searched_too(chromium: Browser, filled: Filled) -> None:
    cookie = filled.cookies[Role.RESEARCHER]
    with visiting(chromium, filled.url, cookie, "en", java_script_enabled=False) as page:
        page.goto("/datasets")
        page.locator("#q").fill("tumour")
        page.get_by_role("button", name="Search").click()
        page.wait_for_url("**/datasets?q=tumour")
        expect(page.locator(".card")).to_have_count(1)
        page.get_by_role("link", name="Rotterdam tumour bank").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Rotterdam tumour bank")
