"""The operator's page of nodes, which shows by itself what happens elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from catalog.records import Role
from datalab.home import Home
from datalab.supervisor import Supervisor
from federation.enrolment.client import enrol
from tests.browser.test_every_page import visiting
from tests.integration.runs.conftest import NODE, whole_lab
from tests.support.pages import give_second_factor, settle, signed_in

pytestmark = pytest.mark.slow
PATIENCE = 60_000


@pytest.fixture(scope="module")
def lab(lab_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A lab with a gateway and a node."""
    with Supervisor() as supervisor:
        yield whole_lab(lab_home, tmp_path_factory.mktemp("whole"), supervisor).lab


def test_a_key_that_comes_in_and_a_node_that_is_approved_are_seen_without_loading_the_page_again(
    chromium: Browser, lab: Home, tmp_path: Path
) -> None:
    olga = settle(lab, "olga", Role.OPERATOR, "lab")
    with signed_in(lab, olga) as http, ThreadPoolExecutor() as pool:
        give_second_factor(http)
        with visiting(chromium, str(http.base_url), http.cookies["datalab"], "en") as page:
            page.goto("/nodes")
            expect(page.get_by_role("row", name=NODE)).to_be_visible()
            page.evaluate("window.same = true")
            page.locator(f"#revoke-{NODE}").focus()
            form = {"name": "leiden", "organisation": "Leiden hospital", "country": "NL"}
            (token,) = re.findall(r"<code>([A-Za-z0-9_-]{200,})</code>", http.post("/nodes/invite", data=form).text)
            enrolled = pool.submit(enrol, token, tmp_path / "leiden")
            expect(page.get_by_text("The key of leiden waits for your approval.")).to_be_visible(timeout=PATIENCE)
            expect(page.locator(f"#revoke-{NODE}")).to_be_focused()
            (key,) = set(re.findall(r"<code>([0-9a-f]{64})</code>", http.get("/nodes/leiden/approve").text))
            http.post("/nodes/leiden/approve", data={"key": key})
            enrolled.result(90)
            expect(page.get_by_role("row", name="Leiden hospital")).to_contain_text("left", timeout=PATIENCE)
            assert page.evaluate("window.same") is True
