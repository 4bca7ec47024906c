"""A file of gigabytes through a browser: the line is cut, the window is closed, and the lab's server stays small.

``DATALAB_UPLOAD_GB`` says how large it is (10^9 bytes; 1 unless it is set). Prints what it measured.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from catalog.drafts import PART_BYTES
from catalog.records import Role
from datalab.home import Home
from datalab.storage.store import connect
from tests.browser.conftest import shoot
from tests.browser.test_registering import sign_in
from tests.support.memory import cpu_seconds, rss_mb
from tests.support.pages import settle

pytestmark = pytest.mark.slow
SIZE = int(float(os.environ.get("DATALAB_UPLOAD_GB", "1")) * 1e9)
MOST_GROWN_MB = 4 * PART_BYTES / 1e6
PATIENCE = 3_600_000
"""Milliseconds."""


class Watched:
    """The largest resident memory of a process while this is entered, in MB."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.most = rss_mb(pid)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self.most = max(self.most, rss_mb(self._pid))


def large(path: Path, size: int) -> Path:
    """A table of ``size`` bytes, whole lines to its end."""
    lines = "".join(f"Region {number % 8};{2004 + number % 20};{number % 97}\n" for number in range(200_000)).encode()
    with path.open("wb") as file:
        left = size - file.write(b"Region;Year;Cases\n")
        while left > len(lines):
            left -= file.write(lines)
        file.write(lines[: lines.rfind(b"\n", 0, left) + 1])
    return path


def choose(page: Page, file: Path) -> None:
    page.get_by_label("Choose a file, or drop it here").set_input_files(file)


@pytest.mark.timeout(PATIENCE // 1000)
def test_gigabytes_pass_through_a_browser_that_is_cut_off_and_closed_half_way(
    context: BrowserContext, lab: Home, tmp_path: Path
) -> None:
    file = large(tmp_path / "large.csv", SIZE)
    size, process = file.stat().st_size, lab.address("lab")["pid"]
    settle(lab, "greta", Role.STEWARD, "large-office")
    page = context.new_page()
    sign_in(page, "greta")
    offsets: list[int] = []
    context.on(
        "requestfinished", lambda one: offsets.extend(map(int, parse_qs(urlsplit(one.url).query).get("offset", [])))
    )
    reached = "(share) => document.querySelector('progress').value >= share * document.querySelector('progress').max"

    page.goto("/register")
    began, worked = time.monotonic(), cpu_seconds(process)
    choose(page, file)
    page.wait_for_function(reached, arg=0.1, timeout=PATIENCE)
    before = rss_mb(process)
    with Watched(process) as during:
        page.wait_for_function(reached, arg=0.3, timeout=PATIENCE)
        context.set_offline(True)
        expect(page.get_by_text("The lab cannot be reached. Trying again")).to_be_visible(timeout=60_000)
        shoot(page, "large-cut")
        context.set_offline(False)
        page.wait_for_function(reached, arg=0.5, timeout=PATIENCE)
        page.close()

        page = context.new_page()
        page.goto("/register")
        page.get_by_role("link", name="large.csv").click()
        page.get_by_role("link", name="File", exact=True).click()
        expect(page.get_by_text("have arrived. Choose the same file to go on where it stopped.")).to_be_visible()
        shoot(page, "large-half")
        choose(page, file)
        page.wait_for_function(reached, arg=1, timeout=PATIENCE)
    expect(page.get_by_role("heading", level=1)).to_have_text("Columns", timeout=600_000)
    seconds, worked = time.monotonic() - began, cpu_seconds(process) - worked
    grown, after = during.most - before, rss_mb(process)
    print(
        f"{size / 1e9:.2f} GB in {seconds:.0f} s, of which the lab server worked {worked:.0f} s; its memory: "
        f"{before:.0f} MB at a tenth, {during.most:.0f} MB at the most, {after:.0f} MB once the columns were looked at"
    )
    assert sorted(offsets) == list(range(0, size, PART_BYTES)), "each part was taken once"
    assert grown < MOST_GROWN_MB
    page.goto("/register")
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_role("status")).to_contain_text("The draft is discarded.", timeout=60_000)
    assert list(connect(lab).list("uploads/")) == []
