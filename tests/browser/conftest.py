"""A lab with something in it, people who use it, and Debian's Chromium."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from catalog.client import lab_client
from catalog.records import DatasetPatch, Role
from datalab.home import Home
from tests.integration.catalog.conftest import Staging, catalog_home
from tests.integration.conftest import lab_home, object_store, supervisor
from tests.support.pages import Person, settle
from tests.unit.catalog.examples import anonymous, at_site, draft

__all__ = ["catalog_home", "lab_home", "object_store", "supervisor"]

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def lab(catalog_home: Home, object_store: object, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A lab with some datasets, of which one has two versions."""
    staging = Staging(object_store, tmp_path_factory.mktemp("staging"))  # type: ignore[arg-type]
    with lab_client(catalog_home, "operator") as client, lab_client(catalog_home, "pipeline") as pipeline:
        client.register_dataset(draft(description="Node-positive breast cancer, 686 women, 1984 to 1989."))
        client.register_dataset(
            at_site(
                id="rotterdam", title="Rotterdam tumour bank", holder="erasmus", holder_name="Erasmus MC", country="NL"
            )
        )
        client.register_dataset(
            anonymous(id="atlas", title="Atlas of cancer incidence", holder="rki", holder_name="Robert Koch Institute")
        )
        pipeline.publish("gbsg", staging.request("gbsg", "first", rows=686))
        pipeline.publish("gbsg", staging.request("gbsg", "second", rows=700))
        client.update_dataset("atlas", DatasetPatch(description="Counts by region and year."), revision=1)
    return catalog_home


@pytest.fixture(scope="module")
def people(lab: Home) -> dict[Role, Person]:
    """One person of each role."""
    named = {
        Role.STEWARD: "stella",
        Role.RESEARCHER: "rosa",
        Role.ACCESS_BODY: "anton",
        Role.AUDITOR: "audrey",
        Role.OPERATOR: "olga",
    }
    return {role: settle(lab, name, role) for role, name in named.items()}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Chromium as the system has it; nothing is downloaded.

    For one module at a time: while playwright runs, this thread has an event loop, and no other test can make one.
    """
    path = shutil.which("chromium")
    assert path is not None, "the browser tests need chromium: apt-get install chromium"
    expect.set_options(timeout=20_000)  # a file that is handed in is looked at by a process of its own
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser, lab: Home) -> Iterator[BrowserContext]:
    """A browser that knows nobody.

    A script's error, a breach of the content policy, or a request to another machine fails the test at its end.
    """
    made = chromium.new_context(
        base_url=lab.address("lab")["url"], locale="en-IE", viewport={"width": 1280, "height": 900}
    )
    made.set_default_timeout(10_000)
    complaints: list[str] = []
    reached: set[str | None] = set()
    made.on("request", lambda request: reached.add(urlsplit(request.url).hostname))
    made.on("weberror", lambda error: complaints.append(str(error.error)))
    made.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    yield made
    made.close()
    assert reached <= {"127.0.0.1", None}  # what a page holds in itself (data:) has no host
    # A page that is shown with 403 or 404 is one that a test went to on purpose, and the errors a line that it has cut.
    expected = ("responded with a status of 4", "net::ERR_FAILED", "net::ERR_INTERNET_DISCONNECTED")
    assert [one for one in complaints if not any(words in one for words in expected)] == []


@pytest.fixture
def window(context: BrowserContext) -> Page:
    """A page in it."""
    return context.new_page()


def shoot(page: Page, name: str) -> None:
    """Keep a screenshot of the whole page below ``build/screenshots``."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def illustrate(page: Page, name: str) -> None:
    """Keep a screenshot; where DATALAB_TUTORIAL names a folder (``make tutorial``), a small one there too."""
    shoot(page, name)
    if folder := os.environ.get("DATALAB_TUTORIAL"):
        page.set_viewport_size({"width": 960, "height": 640})
        height = page.evaluate("document.documentElement.scrollHeight")
        clip = {"x": 0, "y": 0, "width": 960, "height": height, "scale": 1}
        asked = {"format": "webp", "quality": 55, "captureBeyondViewport": True, "clip": clip}
        made = page.context.new_cdp_session(page).send("Page.captureScreenshot", asked)
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / f"{name}.webp").write_bytes(base64.b64decode(made["data"]))
        page.set_viewport_size({"width": 1280, "height": 900})
