"""Every page, in every language and both themes: axe finds nothing, and nothing is wider than a small screen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from catalog.client import lab_client
from catalog.records import Role
from catalog.run_records import DatasetVersion, RunDraft
from catalog.web.pages.language import NAMES
from datalab.home import Home
from datalab.permits.claims import PermitClaims, PermittedDataset, Purpose
from datalab.permits.keys import PUBLIC_FILE, generate_key, write_key_pair
from datalab.permits.permit import sign_permit
from tests.browser.conftest import AXE, shoot
from tests.support.pages import PASSWORD, Person
from tests.unit.catalog.examples import SHA

pytestmark = pytest.mark.slow
OPEN = ("/sign-in", "/sign-in?notice=signed-out", "/password", "/accessibility", "/public-register")
PAGES = {
    "datasets": "/datasets",
    "datasets-filtered": "/datasets?q=cancer&access=restricted",
    "datasets-empty": "/datasets?q=nothing-is-like-this",
    "dataset": "/datasets/gbsg?notice=changed",
    "schema": "/datasets/gbsg/schema",
    "schema-empty": "/datasets/rotterdam/schema",
    "profile": "/datasets/gbsg/profile",
    "quality": "/datasets/gbsg/quality",
    "lineage": "/datasets/gbsg/lineage",
    "versions": "/datasets/gbsg/versions",
    "versions-empty": "/datasets/rotterdam/versions",
    "compare": "/datasets/gbsg/compare",
    "withdraw-version": "/datasets/gbsg/versions/1/withdraw",
    "state": "/datasets/gbsg/state",
    "unpublished": "/unpublished",
    "access": "/datasets/gbsg/access",
    "activity": "/datasets/gbsg/activity",
    "register": "/register",
    "edit": "/datasets/gbsg/edit",
    "nodes": "/nodes",
    "permits": "/permits",
    "permit": "/permits/permit-1",
    "runs": "/runs",
    "run": "/runs/run-1",
    "compare-runs": "/runs/compare",
    "model-card": "/runs/run-1/model-card",
    "documentation": "/runs/run-1/documentation",
    "training-content": "/runs/run-1/training-content",
    "releases": "/releases",
    "launch": "/launch",
    "compute": "/compute",
    "other-catalogues": "/sources",
    "audit": "/audit",
    "audit-empty": "/audit?actor=nobody",
    "verification": "/audit/verification",
    "accounts": "/accounts",
    "account": "/account",
    "second-factor": "/account/second-factor?notice=needed",
    "not-found": "/datasets/nowhere",
    "not-valid": "/datasets?page=0",
}


@pytest.fixture(scope="module")
def busy(lab: Home) -> Home:
    """The lab with a permit and a run under it."""
    folder = lab.folder("access-body")
    key = generate_key()
    write_key_pair(key, folder)
    (lab.folder("permit-keys") / "body.jwk").write_bytes((folder / PUBLIC_FILE).read_bytes())
    moment = datetime.now(UTC)
    claims = PermitClaims(
        id="permit-1",
        issuer="Health data access body",
        data_user="Start-up",
        people=("rosa",),
        project="Recurrence of breast cancer",
        purpose=Purpose.RESEARCH_ALGORITHMS,
        datasets=(PermittedDataset(id="gbsg"),),
        conditions=("Results are published.",),
        not_before=moment - timedelta(days=1),
        expires=moment + timedelta(days=30),
    )
    with lab_client(lab, "operator") as operator, lab_client(lab, "gateway") as gateway:
        operator.record_permit(sign_permit(claims, key))
        datasets = (DatasetVersion(dataset="gbsg", version=2),)
        gateway.create_run(
            RunDraft(id="run-1", app_digest=SHA, datasets=datasets, permits=("permit-1",), nodes=("compute",))
        )
    return lab


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


def check(page: Page, where: str) -> list[str]:
    """Look at a page in both themes and on a small screen."""
    wrong = []
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        wrong += [f"{where} {theme}: {fault}" for fault in faults(page)]
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 360, "height": 740})
    if page.evaluate("document.documentElement.scrollWidth > 360"):
        wrong.append(f"{where}: wider than 360 pixels")
    wrong += [f"{where} small: {fault}" for fault in faults(page)]
    page.set_viewport_size({"width": 1280, "height": 900})
    return wrong


def choose(page: Page, code: str) -> None:
    page.locator(f"button[name=language][value={code}]").click()
    expect(page.locator("html")).to_have_attribute("lang", code)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("code", NAMES)
def test_axe_finds_nothing_on_any_page_and_each_fits_a_small_screen(
    context: BrowserContext, busy: Home, people: dict[Role, Person], code: str
) -> None:
    page = context.new_page()
    wrong: list[str] = []
    page.goto("/sign-in")
    choose(page, code)
    for path in OPEN:
        page.goto(path)
        wrong += check(page, path)
    sign_in(page, people[Role.OPERATOR])
    for name, path in PAGES.items():
        page.goto(path)
        if name == "audit":
            expect(page.locator("#verified .badge")).to_be_visible()
        wrong += check(page, f"{code} {path}")
        shoot(page, f"{code}-{name}")
    page.goto("/register")
    page.locator("form:has([name=kept_at][value=site]) button").click()
    wrong += check(page, f"{code} /register, description")
    page.locator("main button.primary").click()
    wrong += check(page, f"{code} /register, description with mistakes")
    shoot(page, f"{code}-register-wrong")
    for step in ("terms", "review"):
        page.goto(page.url.replace("/description", f"/{step}").replace("/terms", f"/{step}"))
        wrong += check(page, f"{code} /register, {step}")
        shoot(page, f"{code}-register-{step}")
    page.goto("/account")
    page.locator("#label").fill("notebook")
    page.locator("main button.primary").click()
    wrong += check(page, f"{code} /account with a token")
    shoot(page, f"{code}-token")
    assert wrong == []


def test_the_forbidden_and_wrong_password_pages_are_pages_too(
    context: BrowserContext, busy: Home, people: dict[Role, Person]
) -> None:
    page = context.new_page()
    page.goto("/sign-in")
    page.locator("#name").fill("rosa")
    page.locator("#password").fill("a wrong password")
    page.locator("#password").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("do not belong together")
    expect(page.locator("#name")).to_have_value("rosa")
    wrong = check(page, "/sign-in with mistakes")
    sign_in(page, people[Role.RESEARCHER])
    page.goto("/audit")
    expect(page.get_by_role("heading", level=1)).to_have_text("You may not do this")
    wrong += check(page, "/audit, forbidden")
    shoot(page, "forbidden")
    assert wrong == []


def test_without_javascript_the_list_is_searched_too(busy: Home, people: dict[Role, Person], chromium: object) -> None:
    context = chromium.new_context(base_url=busy.address("lab")["url"], java_script_enabled=False)  # type: ignore[attr-defined]
    page: Page = context.new_page()
    sign_in(page, people[Role.RESEARCHER])
    page.locator("#q").fill("tumour")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**/datasets?q=tumour")
    expect(page.locator(".card")).to_have_count(1)
    page.get_by_role("link", name="Rotterdam tumour bank").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Rotterdam tumour bank")
    context.close()
