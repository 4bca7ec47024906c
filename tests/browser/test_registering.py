"""A new steward registers and publishes a dataset from a CSV file: how many clicks, how much is typed, what is seen."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from catalog.client import lab_client
from catalog.drafts import PART_BYTES
from catalog.records import Role
from datalab.home import Home
from datalab.storage.store import connect
from tests.browser.conftest import illustrate, shoot
from tests.browser.test_every_page import check
from tests.support.pages import PASSWORD, settle, signed_in

_WATCH = """() => {
    window.seen = [];
    const count = () => seen.push(document.querySelectorAll(".stages .done").length);
    new MutationObserver(count).observe(document.querySelector("[data-live]"), {childList: true});
    count();
}"""
MOST_CLICKS = 12
MOST_TYPED = 8
MOST_SECONDS = 300
_KEY, _POINT, _HOME, _THINK = 0.28, 1.3, 0.8, 1.35
"""Seconds of somebody who is no typist (Card, Moran and Newell 1980): a key; pointing and clicking; a hand to the
keyboard and back; making up one's mind, which is taken three times as long for somebody who has never been here."""


@dataclass
class Hand:
    """What a person does with mouse and keyboard, counted."""

    page: Page
    clicks: int = 0
    typed: int = 0
    keys: int = 0

    @property
    def seconds(self) -> float:
        """How long a person takes for that, apart from what the lab takes."""
        done = self.clicks + self.typed
        return self.keys * _KEY + done * (_POINT + 3 * _THINK) + self.typed * _HOME

    def click(self, target: Locator) -> None:
        self.clicks += 1
        target.click()

    def choose(self, field: str, option: str) -> None:
        self.clicks += 1
        self.page.get_by_label(field).select_option(option)

    def write(self, label: str, text: str) -> None:
        self.typed += 1
        self.keys += len(text)
        self.page.get_by_label(label).fill(text)


def sign_in(page: Page, name: str) -> None:
    page.goto("/sign-in")
    page.get_by_label("Account name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/datasets")


def table(path: Path, *, broken: tuple[int, ...] = (), rows: int = 400) -> Path:
    """A table of cancer incidence; the records at these lines have a text where a number belongs."""
    lines = ["Region;Year;Sex;Age group;Cases;Rate per 100000"]
    for number in range(rows):
        cases = "many" if number + 2 in broken else str(20 + number % 97)
        year, sex = 2004 + number % 20, "FM"[number // 20 % 2]
        lines.append(f"Region {number % 8};{year};{sex};{50 + number % 3 * 10}+;{cases};{(20 + number % 97) / 3:.2f}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_from_a_csv_to_a_published_dataset_in_few_steps(window: Page, lab: Home, tmp_path: Path) -> None:
    settle(lab, "newcomer", Role.STEWARD, "atlas-office")
    sign_in(window, "newcomer")
    hand, began = Hand(window), time.monotonic()
    hand.click(window.get_by_role("link", name="Register a dataset"))
    illustrate(window, "1-start")
    hand.clicks += 1  # the button of the file field, and the file
    window.get_by_label("Choose a file, or drop it here").set_input_files(table(tmp_path / "cancer incidence.csv"))
    expect(window.get_by_role("heading", level=1)).to_have_text("Columns")
    illustrate(window, "2-columns")
    assert window.get_by_label("Unit: Year").input_value() == ""
    assert window.get_by_label("Type: Rate per 100000").input_value() == "number"
    hand.click(window.get_by_role("button", name="Confirm the columns"))
    expect(window.get_by_label("Title")).to_have_value("Cancer incidence")
    expect(window.get_by_label("Identifier", exact=True)).to_have_value("cancer-incidence")
    hand.write("Description (optional)", "Cases of cancer by region, year, sex and age group, 2004 to 2023.")
    hand.choose("Theme", "Health")
    hand.write("Name of the data holder", "Atlas Office")
    hand.choose("Country", "Germany")
    hand.write("Data steward", "Data desk")
    illustrate(window, "3-description")
    hand.click(window.get_by_role("button", name="Save and go on"))
    hand.choose("Kind of data", "anonymous")
    hand.choose("Access", "public")
    hand.write("Licence", "CC-BY-4.0")
    illustrate(window, "4-terms")
    hand.click(window.get_by_role("button", name="Save and go on"))
    illustrate(window, "5-review")
    hand.click(window.get_by_role("button", name="Register and publish"))
    expect(window.get_by_role("heading", name="Stages")).to_be_visible()
    illustrate(window, "6-at-work")
    expect(window.get_by_role("heading", level=1)).to_have_text("Version 1 is published", timeout=120_000)
    expect(window.get_by_role("heading", name="Checks")).to_be_visible(timeout=30_000)
    illustrate(window, "7-published")
    hand.click(window.get_by_role("link", name="See the dataset"))
    expect(window.get_by_role("heading", level=1)).to_have_text("Cancer incidence")
    waited = time.monotonic() - began
    print(  # pytest -s
        f"{hand.clicks} clicks, {hand.typed} typed fields; {hand.seconds:.0f} s of a person's time, "
        f"{waited:.0f} s of the lab's"
    )
    assert hand.clicks <= MOST_CLICKS
    assert hand.typed <= MOST_TYPED
    assert hand.seconds + waited < MOST_SECONDS
    with lab_client(lab, "operator") as client:
        (version,) = client.versions("cancer-incidence")
        assert version.report.rows == 400
        assert [column.name for column in version.report.columns][:3] == ["region", "year", "sex"]
    window.goto("/register")
    expect(window.get_by_role("heading", name="Your drafts")).to_have_count(0)


def upload(page: Page, file: Path) -> None:
    page.get_by_label("Choose a file, or drop it here").set_input_files(file)
    expect(page.get_by_role("heading", level=1)).to_have_text("Columns", timeout=60_000)


@pytest.fixture
def steward(window: Page, lab: Home, request: pytest.FixtureRequest) -> Page:
    """A window in which a steward of this test's own is signed in."""
    name = f"sigrid-{abs(hash(request.node.name)) % 10_000}"
    settle(lab, name, Role.STEWARD, "gbsg")
    sign_in(window, name)
    return window


def test_a_broken_file_ends_in_a_page_that_says_where_and_the_draft_is_kept(
    steward: Page, lab: Home, tmp_path: Path
) -> None:
    window = steward
    window.goto("/register")
    upload(window, table(tmp_path / "incidence by year.csv", broken=(12, 40)))
    expect(window.get_by_role("row", name="Cases")).to_contain_text("2 values are of another kind")
    window.get_by_label("Type: Sex").select_option(label="Number")
    window.get_by_role("button", name="Confirm the columns").click()
    window.get_by_label("Theme").select_option("HEAL")
    window.get_by_role("button", name="Save and go on").click()
    window.get_by_label("Kind of data").select_option("anonymous")
    window.get_by_label("Access").select_option("public")
    window.get_by_role("button", name="Save and go on").click()
    window.get_by_role("button", name="Register and publish").click()
    expect(window.get_by_role("heading", level=1)).to_have_text("The data is being curated …")
    window.evaluate(_WATCH)
    assert check(window, "curation at work") == []
    expect(window.get_by_role("heading", level=1)).to_have_text("No version was published", timeout=120_000)
    seen = window.evaluate("window.seen")  # gone if the page had been loaded again
    assert seen == sorted(seen), "stages are done one after the other"
    assert len(set(seen)) > 1, "the page showed how far it was while it was at work"
    expect(window.get_by_role("heading", name="Rejected")).to_be_visible()
    first = window.get_by_role("table").filter(has_text="The first findings").get_by_role("row")
    expect(first.nth(1)).to_contain_text("2SexNot of the column's typea text")
    assert check(window, "a broken file") == []
    shoot(window, "broken-file")
    with window.expect_download() as download:
        window.get_by_role("link", name="Download the whole list").click()
    rejects = download.value.path().read_text(encoding="utf-8").splitlines()
    assert "incidence_by_year.csv,12,11,Cases,type,text" in rejects
    at = window.url.removeprefix(str(lab.address("lab")["url"]))
    others = {role: settle(lab, f"other-{role}", role, "elsewhere") for role in (Role.STEWARD, Role.RESEARCHER)}
    for person in others.values():
        with signed_in(lab, person) as http:
            assert [http.get(f"{at}{part}").status_code for part in ("", "/live", "/rejects")] == [403] * 3
    # Comes back to the draft later, puts the column right, and publishes what can be used.
    window.goto("/register")
    window.get_by_role("link", name="Incidence by year").click()
    window.get_by_role("link", name="Columns").click()
    window.get_by_label("Type: Sex").select_option(label="Text")
    window.get_by_role("button", name="Confirm the columns").click()
    window.get_by_role("link", name="Review").click()
    window.get_by_role("button", name="Register and publish").click()
    expect(window.get_by_role("heading", level=1)).to_have_text("Version 1 is published", timeout=120_000)
    expect(window.get_by_text("400 records, 2 rejected")).to_be_visible()
    with lab_client(lab, "operator") as client:
        (version,) = client.versions("incidence-by-year")
        assert (version.report.rows, version.report.rejected_rows) == (398, 2)


def test_a_file_with_identifiers_is_not_kept_and_what_was_said_of_its_columns_is(
    steward: Page, lab: Home, tmp_path: Path
) -> None:
    window = steward
    window.goto("/register")
    lines = [f"{number},patient{number}@example.eu,{30 + number % 50}" for number in range(60)]
    file = tmp_path / "visits.csv"
    file.write_text("\n".join(["Patient-ID,Email,age", *lines]), encoding="utf-8")
    upload(window, file)
    assert check(window, "columns with identifiers") == []
    shoot(window, "identifiers")
    window.get_by_label("What it means: age").fill("Age at the first visit")
    window.get_by_role("button", name="Confirm the columns").click()
    expect(window.get_by_role("alert").filter(has_text="Nothing of the file was kept")).to_contain_text(
        "Patient-ID, Email"
    )
    assert list(connect(lab).list("uploads/")) == []
    file.write_text("\n".join(["age", *(line.rpartition(",")[2] for line in lines)]), encoding="utf-8")
    upload(window, file)
    expect(window.get_by_label("What it means: age")).to_have_value("Age at the first visit")
    window.goto("/register")
    window.get_by_role("button", name="Discard").click()
    expect(window.get_by_role("status")).to_contain_text("The draft is discarded.")
    assert list(connect(lab).list("uploads/")) == []


def test_personal_data_with_a_column_that_tells_rows_apart_goes_on_only_once_it_was_looked_at(
    steward: Page, tmp_path: Path
) -> None:
    window, file = steward, tmp_path / "cases.csv"
    lines = [f"F{1000 + number};{30 + number % 5}" for number in range(40)]
    file.write_text("\n".join(["Fallnummer extern;age", *lines]), encoding="utf-8")
    window.goto("/register")
    upload(window, file)
    window.get_by_role("button", name="Confirm the columns").click()
    window.get_by_label("Theme").select_option("HEAL")
    window.get_by_role("button", name="Save and go on").click()
    window.get_by_label("Kind of data").select_option("personal")
    window.get_by_label("Access").select_option("restricted")
    window.get_by_label("Legal basis").fill("GDPR Art. 9(2)(j)")
    window.get_by_label("scientific research").first.check()
    window.get_by_role("button", name="Save and go on").click()
    expect(window.get_by_text("Every value is different in: Fallnummer extern")).to_be_visible()
    assert check(window, "a telling column") == []
    answer = window.request.post(window.url, form={}, headers={"Origin": window.url.partition("/register")[0]})
    assert answer.status == 422
    window.goto("/register")
    window.get_by_role("button", name="Discard").click()


def test_what_is_no_table_is_refused_with_a_sentence(steward: Page, lab: Home, tmp_path: Path) -> None:
    contents = {
        "page.csv": (b"<!DOCTYPE html><script>alert(1)</script>", "This is no table of text (HTML, XML)"),
        "table.xlsx": (b"a,b\n1,2\n", "Only CSV, JSON and Parquet files are taken"),
        "twice.csv": (b"a,a\n1,2\n", "The column a is there more than once."),
    }
    for name, (content, said) in contents.items():
        (tmp_path / name).write_bytes(content)
        steward.goto("/register")
        steward.get_by_label("Choose a file, or drop it here").set_input_files(tmp_path / name)
        expect(steward.get_by_role("alert")).to_contain_text(said)
    assert list(connect(lab).list("uploads/")) == []


def test_an_upload_goes_on_where_it_was_interrupted(steward: Page, tmp_path: Path) -> None:
    window = steward
    file = table(tmp_path / "long.csv", rows=600_000)
    assert file.stat().st_size > 2 * PART_BYTES
    window.goto("/register")
    window.route(
        "**/file?offset=*", lambda route: route.abort() if str(PART_BYTES) in route.request.url else route.continue_()
    )
    window.get_by_label("Choose a file, or drop it here").set_input_files(file)
    expect(window.get_by_text("The lab cannot be reached. Trying again")).to_be_visible()
    window.unroute_all()
    window.goto("/register")  # the window was closed, say
    window.get_by_role("link", name="long.csv").click()
    expect(window.get_by_role("heading", level=1)).to_have_text("File")
    expect(window.get_by_text("8.4 MB of ")).to_be_visible()
    sent: list[str] = []
    window.on("request", lambda request: sent.append(request.url) if request.method == "PUT" else None)
    upload(window, file)
    assert [url.partition("offset=")[2] for url in sent] == [str(PART_BYTES), str(2 * PART_BYTES)]


def publish(window: Page) -> None:
    """Go on from the columns to a published version, with what is known and anonymous, restricted data."""
    window.get_by_role("button", name="Confirm the columns").click()
    window.get_by_label("Theme").select_option("HEAL")
    window.get_by_label("Name of the data holder").fill("Atlas Office")
    window.get_by_label("Country").select_option("DE")
    window.get_by_label("Data steward").fill("Data desk")
    window.get_by_role("button", name="Save and go on").click()
    window.get_by_label("Kind of data").select_option("anonymous")
    window.get_by_label("Access").select_option("restricted")
    window.get_by_label("Licence").fill("CC-BY-4.0")
    window.get_by_role("button", name="Save and go on").click()
    window.get_by_role("button", name="Register and publish").click()
    expect(window.get_by_role("heading", level=1)).to_have_text("Version 1 is published", timeout=120_000)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["ndjson", "parquet"])
def test_json_and_parquet_become_datasets_as_csv_does(steward: Page, lab: Home, tmp_path: Path, ending: str) -> None:
    rows = [{"visit": {"age": 30 + number % 50}, "ward": "AB"[number % 2]} for number in range(60)]
    file = tmp_path / f"visits as {ending}.{ending}"
    if ending == "parquet":
        flat = "SELECT 30 + range % 50 AS age, ['A', 'B'][1 + range % 2] AS ward FROM range(60)"
        duckdb.execute(f"COPY ({flat}) TO '{file}' (FORMAT parquet)")
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"visit": {"age": "old"}, "ward": "A"}\n')
    steward.goto("/register")
    upload(steward, file)
    publish(steward)
    with lab_client(lab, "operator") as client:
        (version,) = client.versions(f"visits-as-{ending}")
        assert (version.report.rows, version.report.rejected_rows) == (60, 1 if ending == "ndjson" else 0)


@pytest.mark.slow
def test_without_javascript_a_file_becomes_a_dataset_too(chromium: Browser, lab: Home, tmp_path: Path) -> None:
    settle(lab, "noemi", Role.STEWARD, "plain-office")
    context = chromium.new_context(base_url=lab.address("lab")["url"], locale="en-IE", java_script_enabled=False)
    page = context.new_page()
    sign_in(page, "noemi")
    page.goto("/register")
    (tmp_path / "page.csv").write_text("<html>", encoding="utf-8")
    page.get_by_label("Choose a file, or drop it here").set_input_files(tmp_path / "page.csv")
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("alert")).to_contain_text("This is no table of text (HTML, XML)")
    shoot(page, "upload-without-javascript")
    file = table(tmp_path / "plain incidence.csv", rows=600_000)
    assert file.stat().st_size > 2 * PART_BYTES
    page.get_by_label("Choose a file, or drop it here").set_input_files(file)
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Columns", timeout=60_000)
    publish(page)
    with lab_client(lab, "operator") as client:
        (version,) = client.versions("plain-incidence")
        assert version.report.rows == 600_000
    context.close()
