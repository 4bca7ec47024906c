"""From a file on a steward's desk to the same data on a researcher's, with the keyboard alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from catalog.records import Role
from datalab.home import Home
from datalab.permits.keys import generate_key, write_key_pair
from tests.browser.conftest import shoot
from tests.browser.test_access import TEXTS, Keyboard, at, permit_of, sign
from tests.browser.test_registering import table

pytestmark = pytest.mark.slow


def choose(person: Keyboard, label: str, beginning: str) -> None:
    """Choose what begins so in a list, by typing it."""
    person.to(label)
    person.page.keyboard.type(beginning)


def registered(sara: Keyboard, file: Path) -> None:
    """Register a file as restricted, anonymous data, and wait until it is published."""
    sara.follow("Register a dataset")
    sara.to("Choose a file, or drop it here")
    with sara.page.expect_file_chooser() as choosing:
        sara.press("Space")
    choosing.value.set_files(file)
    expect(sara.page.get_by_role("heading", level=1)).to_have_text("Columns", timeout=60_000)
    sara.follow("Confirm the columns")
    choose(sara, "Theme", "Government")
    sara.fill("Name of the data holder", "Atlas Office")
    choose(sara, "Country", "Germany")
    sara.fill("Data steward", "Data desk")
    sara.follow("Save and go on")
    choose(sara, "Kind of data", "Anonymous")
    choose(sara, "Access", "Restricted")
    sara.fill("Licence", "CC-BY-4.0")
    sara.follow("Save and go on")
    sara.follow("Register and publish")
    expect(sara.page.get_by_role("heading", level=1)).to_have_text("Version 1 is published", timeout=120_000)
    shoot(sara.page, "journey-published")


def test_registered_curated_found_requested_approved_and_downloaded(
    chromium: Browser, lab: Home, tmp_path: Path
) -> None:
    private, public = write_key_pair(generate_key(), tmp_path)
    stewards = lab.folder("permit-keys", "stewards")
    (stewards / "atlas-office.jwk").write_bytes(public.read_bytes())
    file = table(tmp_path / "cancer incidence.csv")
    with (
        at(chromium, lab, "sonja", Role.STEWARD, "atlas-office") as sonja,
        at(chromium, lab, "remy", Role.RESEARCHER, "university") as remy,
    ):
        registered(sonja, file)

        remy.to("Search in titles")
        remy.type("incidense canser")
        expect(remy.page.locator("#total")).to_contain_text("found")
        remy.follow("Cancer incidence")
        expect(remy.page.get_by_role("link", name="Download")).to_have_count(0)
        remy.follow("Request access")
        remy.fill("Name of the project", "Maps of incidence")
        remy.follow("Go on")
        choose(remy, "Purpose", "Research: training")
        remy.fill("Aim and benefit", "A map of incidence by region and year.")
        remy.fill("Months", "6")
        remy.fill("Safeguards", TEXTS["Safeguards"])
        remy.to("We will do nothing")
        remy.press("Space")
        remy.follow("Hand in", exactly=True)
        remy.says("The request is handed in.")
        address = remy.page.url.partition("?")[0]

        sonja.page.goto(f"{address}/approve")
        sonja.second_factor()
        sonja.page.goto(f"{address}/approve")
        sonja.follow("Approve", exactly=True)
        sonja.says("The request is approved.")
        sonja.to(permit_of(address))
        with sonja.page.expect_download() as downloading:
            sonja.press("Enter")
        claims, signed = tmp_path / "claims.json", tmp_path / "permit.jws"
        downloading.value.save_as(claims)
        sign(claims, private, signed)
        sonja.fill("Signed permit", signed.read_text())
        sonja.follow("Grant the permit")
        sonja.says("The permit is granted")

        remy.page.goto("/datasets/cancer-incidence")
        remy.follow("Download", exactly=True)
        shoot(remy.page, "journey-files")
        remy.to("cancer-incidence-v1.parquet")
        with remy.page.expect_download() as downloading:
            remy.press("Enter")
        assert downloading.value.suggested_filename == "cancer-incidence-v1.parquet"
        got = Path(downloading.value.path()).read_bytes()
        assert got.startswith(b"PAR1")
        assert got.endswith(b"PAR1")
