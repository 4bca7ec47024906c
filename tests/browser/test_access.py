"""A request from its first word to the revoked permit, in a browser and with the keyboard alone."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyotp
import pytest
from click.testing import CliRunner
from playwright.sync_api import Browser, Page, expect

from catalog.client import lab_client
from catalog.records import DatasetPatch, Role
from catalog.web.pages.language import NAMES
from datalab.__main__ import cli
from datalab.home import Home
from datalab.permits.keys import generate_key, write_key_pair
from tests.browser.conftest import shoot
from tests.browser.test_every_page import check, choose
from tests.support.pages import PASSWORD, Person, settle

TEXTS = {
    "Aim and benefit": "A model of recurrence within three years, so that follow-up goes to whom it helps.",
    "Why anonymous data would not do": "A survival model needs one row for each patient.",
    "Safeguards": "Only aggregates leave the sites.",
    "Ethics": "Opinion 12/2026 of the board of the university hospital.",
}


class Keyboard:
    """One person's browser, which is used with the keyboard alone once they are signed in."""

    def __init__(self, page: Page, person: Person) -> None:
        self.page = page
        self.person = person

    def sign_in(self) -> None:
        self.page.goto("/sign-in")
        self.to("Account name")
        self.type(self.person.name)
        self.to("Password")
        self.type(PASSWORD)
        self.press("Enter")
        self.page.wait_for_url("**/datasets")

    def to(self, name: str, *, exactly: bool = False) -> None:
        """Press Tab until what has focus is called ``name``."""
        for _ in range(80):
            self.press("Tab")
            focused = self.page.evaluate(
                "(document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()"
            )
            if focused == name or (not exactly and focused.startswith(name)):
                return
        pytest.fail(f"the keyboard does not reach {name}")

    def follow(self, name: str, *, exactly: bool = False) -> None:
        self.to(name, exactly=exactly)
        with self.page.expect_navigation():
            self.press("Enter")

    def fill(self, name: str, text: str) -> None:
        self.to(name)
        self.press("Control+a")
        self.type(text)

    def type(self, text: str) -> None:
        self.page.keyboard.insert_text(text)

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def says(self, text: str) -> None:
        expect(self.page.get_by_role("status").first).to_contain_text(text)

    def second_factor(self) -> None:
        """Set the second factor up, where a decision asks for it."""
        expect(self.page.get_by_role("heading", level=1)).to_have_text("Set up a second factor")
        secret = self.page.locator("input[name=secret]").input_value()
        self.fill("Password", PASSWORD)
        self.fill("Code", pyotp.TOTP(secret).at(int(time.time())))
        self.follow("Set it up")
        self.says("The second factor is set up.")


@pytest.fixture(scope="module")
def private_key(lab: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The access body's key, of which the lab pins the public half; and two people have to decide on gbsg."""
    private, public = write_key_pair(generate_key(), tmp_path_factory.mktemp("access-body"))
    (lab.folder("permit-keys") / "hdab.jwk").write_bytes(public.read_bytes())
    with lab_client(lab, "operator") as client:
        found = client.dataset("gbsg")
        client.update_dataset("gbsg", DatasetPatch(two_people=True), revision=found.revision)
    return private


@contextmanager
def at(chromium: Browser, lab: Home, name: str, role: Role, organisation: str) -> Iterator[Keyboard]:
    """A browser of somebody's own; nothing in it may complain."""
    context = chromium.new_context(base_url=lab.address("lab")["url"], locale="en-IE")
    context.set_default_timeout(10_000)
    complaints: list[str] = []
    context.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    person = Keyboard(context.new_page(), settle(lab, name, role, organisation))
    person.sign_in()
    yield person
    context.close()
    assert [one for one in complaints if "responded with a status of 4" not in one] == []


def test_from_the_first_word_to_the_revoked_permit(
    chromium: Browser, lab: Home, private_key: Path, tmp_path: Path
) -> None:
    with (
        at(chromium, lab, "rita", Role.RESEARCHER, "start-up") as rita,
        at(chromium, lab, "sara", Role.STEWARD, "gbsg") as sara,
        at(chromium, lab, "adam", Role.ACCESS_BODY, "hdab") as adam,
        at(chromium, lab, "ada", Role.ACCESS_BODY, "hdab") as ada,
    ):
        rita.page.goto("/datasets/gbsg")
        rita.follow("Request access")
        rita.fill("Name of the project", "Recurrence of breast cancer")
        rita.follow("Go on")
        rita.follow("Hand in", exactly=True)
        expect(rita.page.get_by_role("alert")).to_contain_text("The draft is kept")
        assert check(rita.page, "request with mistakes") == []
        shoot(rita.page, "request-lacks")
        rita.to("Purpose")
        rita.press("Control+a")
        rita.page.keyboard.type("Research: training")
        rita.fill("Aim and benefit", TEXTS["Aim and benefit"])
        rita.fill("Months", "12")
        for name in ("Why anonymous data would not do", "Safeguards", "Ethics"):
            rita.fill(name, TEXTS[name])
        rita.to("We will do nothing")
        rita.press("Space")
        rita.follow("Keep as a draft")
        rita.says("The draft is kept.")
        expect(rita.page.get_by_label("Safeguards")).to_have_value(TEXTS["Safeguards"])
        shoot(rita.page, "request-edit")
        rita.follow("Hand in", exactly=True)
        rita.says("The request is handed in.")
        address = rita.page.url.partition("?")[0]

        sara.follow("Requests", exactly=True)
        sara.follow("Recurrence of breast cancer")
        expect(sara.page.get_by_role("link", name="Approve")).to_have_count(0)
        shoot(sara.page, "request-steward")
        sara.fill("Comment", "Which variables do you need?")
        sara.follow("Comment", exactly=True)
        sara.says("Your comment is there")
        sara.follow("Return", exactly=True)
        sara.fill("Why", "Say more about the safeguards.")
        sara.follow("Return", exactly=True)
        sara.says("The request is returned")

        rita.page.goto(address)
        expect(rita.page.get_by_text("Which variables do you need?")).to_be_visible()
        rita.follow("Edit and hand in")
        expect(rita.page.get_by_text("sara returned it:")).to_be_visible()
        rita.fill("Safeguards", "Only aggregates of ten people or more leave the sites.")
        rita.follow("Hand in", exactly=True)

        adam.follow("Requests", exactly=True)
        adam.follow("Recurrence of breast cancer")
        adam.follow("Approve", exactly=True)
        adam.second_factor()
        adam.page.goto(address)
        adam.follow("Approve", exactly=True)
        adam.fill("Conditions", "Results are published.\nNodes are named in papers.")
        shoot(adam.page, "request-approve")
        adam.follow("Approve", exactly=True)
        adam.says("A second person has to approve the same.")
        shoot(adam.page, "request-endorsed")

        ada.page.goto(f"{address}/approve")
        ada.second_factor()
        ada.page.goto(f"{address}/approve")
        expect(ada.page.get_by_text("adam has approved it on these terms")).to_be_visible()
        ada.follow("Approve", exactly=True)
        ada.says("The request is approved.")
        ada.to(permit_of(address))
        with ada.page.expect_download() as downloading:
            ada.press("Enter")
        claims, signed = tmp_path / downloading.value.suggested_filename, tmp_path / "permit.jws"
        downloading.value.save_as(claims)
        said = json.loads(claims.read_text())
        assert (said["data_user"], said["people"]) == ("start-up", ["rita"])
        assert said["conditions"] == ["Results are published.", "Nodes are named in papers."]
        sign(claims, private_key, signed)
        ada.fill("Signed permit", signed.read_text().replace("ey", "eX", 1))
        ada.follow("Grant the permit")
        expect(ada.page.get_by_role("alert")).to_contain_text("not a document of the kind")
        assert check(ada.page, "sign with mistakes") == []
        shoot(ada.page, "request-sign-wrong")
        ada.fill("Signed permit", signed.read_text())
        ada.follow("Grant the permit")
        ada.says("The permit is granted")
        shoot(ada.page, "permit-granted")

        rita.page.goto(address)
        rita.follow(permit_of(address))
        rita.fill("Title", "A paper on recurrence")
        rita.fill("Address", "https://doi.org/10.1/recurrence")
        rita.follow("Publish")
        rita.says("The result is in the public register.")
        expect(rita.page.get_by_role("link", name="Revoke")).to_have_count(0)

        adam.page.goto(f"/permits/{permit_of(address)}")
        adam.follow("Revoke", exactly=True)
        adam.follow("Revoke for good")
        adam.says("The permit is revoked, and its runs are stopped.")
        shoot(adam.page, "permit-revoked")
        assert check(adam.page, "permit revoked") == []
        for action in ("request.submitted", "request.endorsed", "request.granted", "permit.revoked"):
            expect(adam.page.get_by_text(action, exact=True).first).to_be_visible()

    stranger = chromium.new_context(base_url=lab.address("lab")["url"], locale="en-IE").new_page()
    stranger.goto("/public-register")
    expect(stranger.get_by_role("heading", name="Recurrence of breast cancer")).to_be_visible()
    expect(stranger.get_by_text("https://doi.org/10.1/recurrence")).to_be_visible()
    assert not re.search(r"\b(rita|adam|ada|sara)\b", stranger.content())
    shoot(stranger, "public-register")


def permit_of(address: str) -> str:
    return address.rpartition("/")[2].replace("request-", "permit-")


def sign(claims: Path, key: Path, out: Path) -> None:
    command = ["permit", "issue", "--claims", str(claims), "--key", str(key), "--out", str(out)]
    assert CliRunner().invoke(cli, command, catch_exceptions=False).exit_code == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("code", NAMES)
def test_axe_finds_nothing_on_the_pages_of_requests(
    chromium: Browser, lab: Home, private_key: Path, code: str, tmp_path: Path
) -> None:
    with (
        at(chromium, lab, f"rosalie-{code}", Role.RESEARCHER, f"company-{code}") as person,
        at(chromium, lab, f"albert-{code}", Role.ACCESS_BODY, "hdab") as body,
    ):
        page, wrong = person.page, []

        def look(page: Page, where: str, name: str) -> None:
            page.goto(where)
            wrong.extend(check(page, f"{code} {where}"))
            shoot(page, f"{code}-{name}")

        choose(page, code)
        choose(body.page, code)
        look(page, "/requests", "requests-empty")
        look(page, "/projects", "projects-empty")
        look(page, "/requests/new?dataset=rotterdam", "request-new")
        page.locator("#title").fill("Recurrence")
        page.locator("main button.primary").click()
        address = re.sub("/edit.*", "", page.url)
        look(page, f"{address}/edit", "request-edit")
        page.locator("#purpose").select_option("e-ii")
        for field in ("aim", "why_personal", "safeguards", "ethics"):
            page.locator(f"#{field}").fill("In a few words.")
        page.locator("#months").fill("6")
        page.locator("input[name=undertaken]").check()
        page.locator("button[value=submit]").click()
        page.wait_for_url(re.compile("notice=submitted"))
        look(page, address, "request")
        look(page, "/requests", "requests")
        look(page, "/requests?show=drafts", "requests-drafts")
        look(page, f"{address}/withdraw", "request-withdraw")
        look(body.page, f"{address}/return", "request-return")
        body.page.locator("main button.primary").click()
        wrong.extend(check(body.page, "return without a reason"))
        body.page.goto(f"{address}/approve")
        secret = body.page.locator("input[name=secret]").input_value()
        body.page.locator("#password").fill(PASSWORD)
        body.page.locator("#code").fill(pyotp.TOTP(secret).at(int(time.time())))
        body.page.locator("main button.primary").click()
        body.page.wait_for_url(re.compile("notice=second-factor"))
        look(body.page, f"{address}/reject", "request-reject")
        look(body.page, f"{address}/approve", "request-approve")
        body.page.locator("#until").fill("2001-01-01")
        body.page.locator("main button.primary").click()
        wrong.extend(check(body.page, "approve with mistakes"))
        body.page.goto(f"{address}/approve")
        body.page.locator("main button.primary").click()
        body.page.wait_for_url(re.compile("/sign"))
        look(body.page, f"{address}/sign", "request-sign")
        with body.page.expect_download() as downloading:
            body.page.locator("main ol a").click()
        claims, signed = tmp_path / "claims.json", tmp_path / "permit.jws"
        downloading.value.save_as(claims)
        sign(claims, private_key, signed)
        body.page.locator("#token").fill(signed.read_text())
        body.page.locator("main form.panel button.primary").click()
        body.page.wait_for_url(re.compile("/permits/"))
        look(page, f"/permits/{permit_of(address)}", "permit-granted")
        look(page, "/datasets/rotterdam/access", "dataset-access-researcher")
        page.goto("/projects")
        page.locator("main th a").click()
        look(page, page.url, "project")
        look(page, "/public-register", "public-register")
        assert wrong == []
