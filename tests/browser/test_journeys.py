from __future__ import annotations

import re
import time

import pyotp
import pytest
from playwright.sync_api import Page, expect

from catalog.records import Role
from datalab.home import Home
from tests.browser.conftest import shoot
from tests.support.pages import PASSWORD, Person, settle


def type_in(page: Page, text: str) -> None:
    page.keyboard.type(text)


def tab_to(page: Page, name: str) -> None:
    """Press Tab until what has focus is called ``name``."""
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate("(document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()")
        if focused.startswith(name):
            return
    pytest.fail(f"the keyboard does not reach {name}")


def test_with_the_keyboard_alone_from_signing_in_to_a_dataset(window: Page, people: dict[Role, Person]) -> None:
    window.goto("/datasets?q=tumour")
    expect(window).to_have_url(re.compile(r"/sign-in\?next="))
    window.keyboard.press("Tab")
    expect(window.locator(":focus")).to_have_text("Skip to the content")
    tab_to(window, "Account name")
    type_in(window, people[Role.RESEARCHER].name)
    tab_to(window, "Password")
    type_in(window, PASSWORD)
    window.keyboard.press("Enter")
    expect(window).to_have_url(re.compile(r"/datasets\?q=tumour$"))
    expect(window.get_by_role("status").filter(has_text="1 dataset found")).to_be_attached()
    tab_to(window, "Search in titles")
    window.keyboard.press("Control+a")
    type_in(window, "german")
    expect(window.get_by_role("link", name="German Breast Cancer Study Group trial")).to_be_visible()
    expect(window).to_have_url(re.compile(r"/datasets\?q=german"))
    expect(window.get_by_label("Search in titles")).to_be_focused()
    shoot(window, "datasets-search")
    expect(window.locator("#total")).to_have_text("1 dataset found")
    window.keyboard.press("Control+a")
    type_in(window, "cancer")
    expect(window.locator("#total")).to_have_text("2 datasets found")
    tab_to(window, "German Breast Cancer Study Group trial")
    window.keyboard.press("Enter")
    expect(window.get_by_role("heading", level=1)).to_have_text("German Breast Cancer Study Group trial")
    for tab in ("Schema", "Quality", "Versions", "Access"):
        tab_to(window, tab)
        window.keyboard.press("Enter")
        expect(window.get_by_role("navigation", name="About this dataset").locator("[aria-current]")).to_have_text(tab)
        shoot(window, f"dataset-{tab.lower()}")
    expect(window.get_by_role("link", name="Activity")).to_have_count(0)
    window.get_by_role("link", name="Overview").click()
    shoot(window, "dataset-overview")
    window.goto("/datasets")
    shoot(window, "datasets")
    window.set_viewport_size({"width": 360, "height": 740})
    shoot(window, "datasets-360")
    window.goto("/datasets/gbsg/schema")
    shoot(window, "schema-360")
    window.emulate_media(color_scheme="dark")
    window.set_viewport_size({"width": 1280, "height": 900})
    window.goto("/datasets/gbsg/quality")
    shoot(window, "quality-dark")
    window.goto("/datasets")
    shoot(window, "datasets-dark")
    window.get_by_role("button", name="Sign out").click()
    expect(window.get_by_text("You are signed out.")).to_be_visible()
    shoot(window, "sign-in-dark")


def test_a_steward_registers_a_dataset_and_an_operator_closes_the_stewards_account(window: Page, lab: Home) -> None:
    for name, role in (("sven", Role.STEWARD), ("otto", Role.OPERATOR)):
        settle(lab, name, role)
    window.goto("/sign-in")
    window.get_by_label("Account name").fill("sven")
    window.get_by_label("Password").fill(PASSWORD)
    window.get_by_role("button", name="Sign in").click()
    window.get_by_role("link", name="Register a dataset").click()
    window.get_by_role("button", name="Describe data held at a node").click()
    expect(window.get_by_label("Identifier of the data holder")).to_have_value("gbsg")
    window.get_by_label("Title").fill("Registry of hip implants")
    window.get_by_role("button", name="Save and go on").click()
    expect(window.get_by_role("alert")).to_contain_text("fields need another look")
    expect(window.get_by_label("Title")).to_have_value("Registry of hip implants")
    window.get_by_label("Identifier", exact=True).fill("hip-implants")
    expect(window.get_by_label("Name of the data holder")).to_have_value("German Breast Cancer Study Group")
    window.get_by_label("Node").fill("implants")
    window.get_by_label("Contract", exact=True).fill("hips")
    window.get_by_role("button", name="Save and go on").click()
    window.get_by_label("Kind of data").select_option(value="personal")
    expect(window.get_by_label("Access")).to_have_value("federated-only")
    window.get_by_label("Legal basis").fill("GDPR Art. 9(2)(j)")
    window.get_by_label("Official statistics").check()
    window.get_by_role("button", name="Save and go on").click()
    shoot(window, "review")
    window.get_by_role("button", name="Register").click()
    expect(window.get_by_role("heading", level=1)).to_have_text("Registry of hip implants")
    expect(window.get_by_role("status")).to_contain_text("The dataset is registered.")
    shoot(window, "registered")
    window.get_by_role("button", name="Sign out").click()

    window.get_by_label("Account name").fill("otto")
    window.get_by_label("Password").fill(PASSWORD)
    window.get_by_role("button", name="Sign in").click()
    window.get_by_role("link", name="Accounts").click()
    window.get_by_role("link", name="Withdraw sven").click()
    expect(window.get_by_role("heading", level=1)).to_have_text("Set up a second factor")
    secret = window.locator("input[name=secret]").input_value()
    window.get_by_label("Password").fill(PASSWORD)
    window.get_by_label("Code", exact=True).fill(pyotp.TOTP(secret).at(int(time.time())))
    window.get_by_role("button", name="Set it up").click()
    expect(window.get_by_role("status")).to_contain_text("The second factor is set up.")
    window.get_by_role("link", name="Accounts").click()
    window.get_by_role("link", name="Withdraw sven").click()
    shoot(window, "withdraw")
    window.get_by_role("button", name="Withdraw").click()
    expect(window.get_by_role("status")).to_contain_text("The account is withdrawn.")
    window.get_by_role("button", name="Sign out").click()
    window.get_by_label("Account name").fill("sven")
    window.get_by_label("Password").fill(PASSWORD)
    window.get_by_role("button", name="Sign in").click()
    expect(window.get_by_role("alert")).to_contain_text("do not belong together")
