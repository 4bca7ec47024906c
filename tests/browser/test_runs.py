"""A run in the browser, from the question to the model: with the keyboard only, over real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from catalog.client import lab_client
from catalog.records import DatasetPatch, Role
from catalog.web.pages.language import NAMES, language
from datalab.home import Home
from datalab.supervisor import Supervisor
from federation.bundle import pack
from tests.browser.conftest import shoot
from tests.browser.test_every_page import check, sign_in, visiting
from tests.integration.runs.conftest import PERMIT, whole_lab
from tests.support.federation import DATASET, ECHO
from tests.support.pages import PASSWORD, Person, give_second_factor, next_code, settle, signed_in
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow
PATIENCE = 60_000
"""Milliseconds that a runner may take to start on a busy machine."""


@pytest.fixture(scope="module")
def lab(lab_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A whole lab with one node."""
    with Supervisor() as supervisor:
        home = whole_lab(lab_home, tmp_path_factory.mktemp("whole"), supervisor).lab
        with lab_client(home, "operator") as operator:
            wait_until(lambda: bool(operator.versions(DATASET)), "the node has announced its dataset")
        yield home


@pytest.fixture(scope="module")
def rosa(lab: Home) -> Person:
    return settle(lab, "rosa", Role.RESEARCHER, "start-up")


@pytest.fixture(scope="module")
def app(lab: Home) -> str:
    """The echo app, uploaded."""
    with lab_client(lab, "operator") as operator:
        return operator.upload_app(pack(ECHO)).sha256


def press(page: Page, target: Locator, key: str = "Enter") -> None:
    """Go to something with the Tab key alone, and press a key there."""
    for _ in range(80):
        if target.evaluate("one => one === document.activeElement"):
            break
        page.keyboard.press("Tab")
    expect(target).to_be_focused()
    page.keyboard.press(key)


def launched(page: Page) -> str:
    page.wait_for_url("**/runs/run-*")
    return page.url.rpartition("/")[2].partition("?")[0]


@pytest.fixture(scope="module")
def cookie(lab: Home, rosa: Person) -> str:
    """Of rosa's session."""
    with signed_in(lab, rosa) as http:
        return http.cookies["datalab"]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("code", NAMES)
def test_launch_watch_cancel_clone_finish_download_with_the_keyboard_alone(
    chromium: Browser, lab: Home, cookie: str, app: str, tmp_path: Path, code: str
) -> None:
    words = language(code).words
    wrong: list[str] = []

    def look(page: Page, name: str) -> None:
        wrong.extend(check(page, f"{code} {name}"))
        shoot(page, f"{code}-journey-{name}")

    def button(page: Page, name: str) -> Locator:
        return page.get_by_role("button", name=words(name), exact=True)

    def fetch(page: Page, name: str) -> bytes:
        with page.expect_download(timeout=PATIENCE) as download:
            press(page, page.get_by_role("link", name=words(name)))
        download.value.save_as(tmp_path / "file")
        return (tmp_path / "file").read_bytes()

    with visiting(chromium, lab.address("lab")["url"], cookie, code) as page:
        page.goto("/launch")
        expect(page.locator(".card")).not_to_have_count(0)
        look(page, "launch-app")
        page.goto(f"/launch?app={app}&p.num-server-rounds=100000")
        look(page, "launch-data")
        press(page, page.locator("input[name=dataset]"), "Space")
        press(page, button(page, "Next"))
        expect(page.locator("[id='p.num-server-rounds']")).to_have_value("100000")
        look(page, "launch-parameters")
        press(page, button(page, "Review"))
        can_start = words("As far as the lab can tell, this run can start. Each node decides for itself.")
        expect(page.locator(".notice.good")).to_have_text(can_start)
        look(page, "launch-review")
        press(page, button(page, "Launch"))
        first = launched(page)

        expect(page.locator("figure.chart polyline")).to_be_visible(
            timeout=PATIENCE
        )  # it came without the page being loaded again
        press(page, page.locator("#cancel"))
        page.wait_for_url("**?notice=cancelled")
        expect(page.locator(".badges")).to_contain_text(words("Stopped"))
        look(page, "run-stopped")

        press(page, page.locator("#clone"))
        page.wait_for_url("**/launch?*")
        rounds = page.locator("[id='p.num-server-rounds']")
        expect(rounds).to_have_value("100000")
        press(page, rounds, "Control+a")
        page.keyboard.type("5")
        press(page, button(page, "Review"))
        press(page, button(page, "Launch"))
        second = launched(page)
        expect(page.get_by_role("heading", name=words("What it left behind"))).to_be_visible(timeout=PATIENCE)
        expect(page.locator(".badges")).to_contain_text(words("Finished"))
        look(page, "run-finished")
        model, card = fetch(page, "model.npy"), json.loads(fetch(page, "run-card.json"))
        assert len(model) == card["artifacts"][0]["bytes"]

        press(page, page.get_by_role("link", name=words("Model card")))
        expect(page.get_by_role("heading", level=1)).to_have_text(words("Model card"))
        look(page, "model-card")
        assert fetch(page, "Download as Markdown").decode().startswith(f"# {words('Model card')}: {second}")
        assert fetch(page, "Download as PDF").startswith(b"%PDF-")
        for name, path in {
            "documentation": f"/runs/{second}/documentation",
            "training-content": f"/runs/{second}/training-content",
            "compare": f"/runs/compare?run={first}&run={second}",
            "compute": "/compute",
            "runs": "/runs",
        }.items():
            page.goto(path)
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            look(page, name)
    assert wrong == []


def test_without_javascript_a_run_is_launched_and_seen_too(
    chromium: Browser, lab: Home, rosa: Person, app: str
) -> None:
    context = chromium.new_context(base_url=lab.address("lab")["url"], java_script_enabled=False)
    page = context.new_page()
    sign_in(page, rosa)
    page.goto(f"/launch?app={app}&permit={PERMIT}&dataset={DATASET}&p.num-server-rounds=2&step=review")
    page.get_by_role("button", name="Launch", exact=True).click()
    key = launched(page)
    with lab_client(lab, "operator") as operator:
        wait_until(lambda: bool(operator.run(key).artifacts), "the run has left its files")
    page.reload()
    expect(page.get_by_role("heading", name="What it left behind")).to_be_visible()
    expect(page.locator(".badges")).to_contain_text("Finished")
    context.close()


@pytest.mark.timeout(900)
def test_a_held_result_is_asked_for_looked_at_and_released_with_the_keyboard_alone(
    chromium: Browser, lab: Home, rosa: Person, app: str, tmp_path: Path
) -> None:
    with lab_client(lab, "operator") as operator:
        found = operator.dataset(DATASET)
        operator.update_dataset(DATASET, DatasetPatch(release=True), revision=found.revision)
    anton = settle(lab, "anton", Role.ACCESS_BODY, "hdab")
    page = chromium.new_context(base_url=lab.address("lab")["url"]).new_page()
    sign_in(page, rosa)
    page.goto(f"/launch?app={app}&permit={PERMIT}&dataset={DATASET}&p.num-server-rounds=1&step=review")
    press(page, page.get_by_role("button", name="Launch", exact=True))
    key = launched(page)
    expect(page.locator("#ask-release")).to_be_visible(timeout=PATIENCE)
    wrong = check(page, "run: held")
    expect(page.get_by_text("model.npy")).to_have_count(0)
    press(page, page.locator("#text"), "a")
    page.keyboard.type(" paper needs it")
    press(page, page.locator("#ask-release"))
    page.wait_for_url("**?notice=release-asked")
    decider = chromium.new_context(base_url=lab.address("lab")["url"]).new_page()
    with signed_in(lab, anton) as http:
        totp = give_second_factor(http)
    decider.goto("/sign-in")
    decider.locator("#name").fill(anton.name)
    decider.locator("#password").fill(PASSWORD)
    decider.locator("#password").press("Enter")
    decider.wait_for_url("**/sign-in/code**")
    decider.locator("#code").fill(next_code(totp))
    decider.locator("#code").press("Enter")
    decider.wait_for_url("**/datasets")
    decider.goto("/runs")
    press(decider, decider.get_by_role("link", name="1 run waits for your decision on its release."))
    wrong += check(decider, "releases")
    press(decider, decider.get_by_role("link", name=key))
    expect(decider.get_by_role("heading", name="Checks")).to_be_visible()
    wrong += check(decider, "release")
    shoot(decider, "release")
    press(decider, decider.locator("textarea"), "l")
    decider.keyboard.type("ooked at it")
    press(decider, decider.get_by_role("button", name="Release the chosen files"))
    decider.wait_for_url("**?notice=release-release")
    page.goto(f"/runs/{key}")
    with page.expect_download(timeout=PATIENCE) as model:
        press(page, page.get_by_role("link", name="model.npy"))
    model.value.save_as(tmp_path / "model.npy")
    assert (tmp_path / "model.npy").stat().st_size > 0
    assert wrong == []
