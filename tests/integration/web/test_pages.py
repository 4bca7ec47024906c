from __future__ import annotations

import csv
import html
import io
import re
import uuid
from pathlib import Path

import httpx
import pyotp
import pytest
from click.testing import CliRunner
from fastapi.routing import APIRoute

from catalog.client import LabClient, lab_client
from catalog.commands import create_account
from catalog.drafts import PART_BYTES
from catalog.permissions import may
from catalog.records import AccountDraft, DatasetPatch, Role
from catalog.service import SERVICE
from catalog.web.pages.language import NAMES, language
from datalab.errors import IdentityError
from datalab.home import Home
from datalab.supervisor import Supervisor
from tests.integration.catalog.conftest import Staging, home_beside
from tests.support.pages import NEEDED, PASSWORD, Person, next_code, settle, signed_in, text_of, visit
from tests.unit.catalog.examples import draft
from tests.unit.web.test_routes import OPEN, every_page, method_of, permissions_of

_PARTS = ("draft", "node", "dataset", "permit", "token", "name", "request", "project", "source")
NOWHERE = dict.fromkeys(_PARTS, "nowhere") | {
    "number": "1",
    "file": "0",
    "form": "art30",
    "run": str(uuid.UUID(int=0)),
    "entry": "nowhere.0123456789abcdef",
}
MAX_BYTES = 150_000


@pytest.fixture
def name() -> str:
    """A dataset of this test's own."""
    return f"atlas-{uuid.uuid4().hex[:8]}"


def ask(http: httpx.Client, route: APIRoute) -> httpx.Response:
    headers = {"Content-Type": _FORM} if method_of(route) == "POST" else {}
    return http.request(method_of(route), route.path.format(**NOWHERE), headers=headers)


_FORM = "application/x-www-form-urlencoded"


def test_every_page_refuses_whoever_its_permission_does_not_name(
    catalog_home: Home, people: dict[Role, Person]
) -> None:
    guarded = [route for route in every_page() if route.path not in OPEN]
    with visit(catalog_home) as http:
        for route in guarded:
            answer = ask(http, route)
            assert (answer.status_code, answer.headers["Location"][:8]) == (303, "/sign-in"), route.path
    for role, person in people.items():
        with signed_in(catalog_home, person) as http:
            for route in guarded:
                (shown,) = permissions_of(route)
                answer = ask(http, route)
                assert (answer.status_code == 403) == (not may(role, shown.action)), (role, route.path)
                assert answer.status_code < 500
                if answer.status_code == 403:
                    assert "You may not do this" in answer.text


def test_a_cookie_opens_no_api_and_a_token_no_page(catalog_home: Home, people: dict[Role, Person]) -> None:
    with signed_in(catalog_home, people[Role.OPERATOR]) as http:
        assert http.get("/datasets").status_code == 200
        assert http.get("/api/v1/datasets").status_code == 401
    with visit(catalog_home, Authorization=f"Bearer {catalog_home.secret('token-operator')}") as http:
        assert http.get("/api/v1/datasets").status_code == 200
        assert http.get("/datasets").status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:1"},
        {},
    ],
    ids=str,
)
def test_what_another_sites_page_sends_is_refused(
    catalog_home: Home, people: dict[Role, Person], headers: dict[str, str]
) -> None:
    with signed_in(catalog_home, people[Role.OPERATOR]) as http:
        for own in ("Origin", "Sec-Fetch-Site"):
            del http.headers[own]
        answer = http.post("/sign-out", headers=headers)
        assert answer.status_code == 403
        assert "does not come from one of the lab's own pages" in text_of(answer)
        assert http.get("/datasets").status_code == 200
        old_browser = http.post("/sign-out", headers={"Origin": str(http.base_url).rstrip("/")})
        assert old_browser.status_code == 303
        assert http.get("/datasets").status_code == 303


def test_a_session_is_a_strict_cookie_and_ends_for_good(catalog_home: Home, people: dict[Role, Person]) -> None:
    with visit(catalog_home) as http:
        form = {"name": people[Role.RESEARCHER].name, "password": PASSWORD, "next": "/runs"}
        answer = http.post("/sign-in", data=form)
        assert answer.headers["Location"] == "/runs"
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Secure" not in cookie  # the lab is reached by HTTP here
        kept = http.cookies["datalab"]
        http.post("/sign-out")
    with visit(catalog_home) as http:
        http.cookies.set("datalab", kept)
        assert http.get("/runs").status_code == 303


@pytest.mark.parametrize(
    "goal", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", "runs"]
)
def test_signing_in_leads_nowhere_else(catalog_home: Home, people: dict[Role, Person], goal: str) -> None:
    with visit(catalog_home) as http:
        form = {"name": people[Role.RESEARCHER].name, "password": PASSWORD, "next": goal}
        assert http.post("/sign-in", data=form).headers["Location"] == "/"
        assert http.post("/language", data={"language": "de", "next": goal}).headers["Location"] == "/"


def test_wrong_passwords_lock_an_account_for_a_while(catalog_home: Home) -> None:
    person = settle(catalog_home, "locked-out", Role.RESEARCHER)
    with visit(catalog_home) as http:
        said = set()
        for name in (person.name, "nobody-at-all"):
            wrong = http.post("/sign-in", data={"name": name, "password": "a wrong password"})
            said.add((wrong.status_code, text_of(wrong).replace(name, "")))
            assert f'value="{name}"' in wrong.text
            assert "a wrong password" not in wrong.text
        assert len(said) == 1, "an unknown account must not look different"
        for _ in range(9):
            http.post("/sign-in", data={"name": person.name, "password": "a wrong password"})
        locked = http.post("/sign-in", data={"name": person.name, "password": PASSWORD})
        assert locked.status_code == 429
        assert "quarter of an hour" in locked.text
    log = catalog_home.log_file("lab").read_text()
    assert "a wrong password" not in log
    assert PASSWORD not in log


def test_a_decision_needs_the_second_factor(catalog_home: Home) -> None:
    person = settle(catalog_home, "decider", Role.OPERATOR, "lab")
    invited = {"name": "newcomer", "role": "researcher", "organisation": "start-up"}
    with signed_in(catalog_home, person) as http:
        refused = http.post("/accounts", data=invited)
        assert (refused.status_code, NEEDED in refused.text) == (401, True)
        page = http.get("/account/second-factor")
        found = re.search(r'name="secret" value="([A-Z2-7]{32})"', page.text)
        assert found is not None
        totp = pyotp.TOTP(found[1])
        form = {"secret": found[1], "password": "not my password", "code": totp.now()}
        assert "This is not your password." in http.post("/account/second-factor", data=form).text
        assert "This is not the code" in http.post(
            "/account/second-factor", data={**form, "password": PASSWORD, "code": "000000"}
        ).text.replace(totp.now(), "")
        done = http.post("/account/second-factor", data={**form, "password": PASSWORD, "code": totp.now()})
        assert done.headers["Location"] == "/account?notice=second-factor"
        answer = http.post("/accounts", data=invited)
        assert answer.status_code == 200
        assert "one-time code" in answer.text
    with visit(catalog_home) as http:
        half = http.post("/sign-in", data={"name": person.name, "password": PASSWORD, "next": "/runs"})
        assert half.headers["Location"] == "/sign-in/code?next=/runs"
        assert http.get("/runs").headers["Location"].startswith("/sign-in/code")
        before = http.cookies["datalab"]
        whole = http.post("/sign-in/code", data={"code": next_code(totp), "next": "/runs"})
        assert whole.headers["Location"] == "/runs"
        assert http.cookies["datalab"] != before
        assert http.get("/runs").status_code == 200


def test_the_operator_makes_an_account_on_the_command_line(catalog_home: Home, tmp_path: Path) -> None:
    file = tmp_path / "code"
    arguments = [
        "nina",
        "--role",
        "steward",
        "--organisation",
        "gbsg",
        "--out",
        str(file),
        "--home",
        str(catalog_home.path),
    ]
    done = CliRunner().invoke(create_account, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    code = file.read_text().strip()
    assert file.stat().st_mode & 0o777 == 0o600
    assert code not in done.output
    assert "/password" in done.output
    with visit(catalog_home) as http:
        different = http.post("/password", data={"code": code, "password": PASSWORD, "again": "something else"})
        assert "The two passwords are not the same." in different.text
        short = http.post("/password", data={"code": code, "password": "short", "again": "short"})
        assert "12 to 200 characters" in short.text
        assert short.status_code == 422
        assert http.post("/password", data={"code": code, "password": PASSWORD, "again": PASSWORD}).status_code == 303
    with signed_in(catalog_home, Person("nina", Role.STEWARD, "gbsg")) as http:
        assert http.get("/register").status_code == 200


def fields(name: str, **changes: str) -> dict[str, str | list[str]]:
    """What a steward types into the form."""
    typed = draft(holder="gbsg").model_dump(mode="json", exclude={"node", "licence", "modality", "translations"})
    return {**typed, "keywords": "breast cancer, trial", "id": name, "licence": "", "node": "", **changes}


def test_a_steward_registers_a_dataset_held_at_a_node(
    catalog_home: Home, people: dict[Role, Person], name: str
) -> None:
    with signed_in(catalog_home, people[Role.STEWARD]) as http:
        draft_at = http.post("/register", data={"kept_at": "site"}).headers["Location"].removesuffix("/description")
        kept = {"node": "rotterdam", "access": "federated-only"}
        typed = fields(name, description="First line.\r\n\r\nSecond <b>line</b>.", **kept)
        assert http.post(f"{draft_at}/description", data=typed).headers["Location"] == f"{draft_at}/terms"
        assert "First line." in http.get(f"{draft_at}/description").text
        early = http.post(f"{draft_at}/review", data={"looked": ""})
        assert (early.status_code, "1 step is not complete yet:" in early.text) == (422, True)
        assert http.post(f"{draft_at}/terms", data=typed).headers["Location"] == f"{draft_at}/review"
        assert "Second &lt;b&gt;line&lt;/b&gt;." in http.get(f"{draft_at}/review").text
        answer = http.post(f"{draft_at}/review", data={"looked": ""})
        assert answer.headers["Location"] == f"/datasets/{name}?notice=registered"
        page = http.get(answer.headers["Location"])
        assert "The dataset is registered." in page.text
        assert http.get(f"{draft_at}/review").status_code == 404
        second = http.post("/register", data={"kept_at": "site"}).headers["Location"]
        taken = http.post(second, data=typed)
        assert (taken.status_code, "This identifier is taken." in taken.text) == (422, True)
        other = http.post(second, data=fields(f"{name}-2", holder="erasmus", **kept))
        assert "of your own organisation only" in other.text
    with lab_client(catalog_home, "operator") as client:
        found = client.dataset(name)
        assert (found.purposes, found.keywords, found.node) == (("e",), ("breast cancer", "trial"), "rotterdam")
        assert (found.language, found.description) == ("en", "First line.\n\nSecond <b>line</b>.")


def test_a_draft_is_its_owners_alone(catalog_home: Home, people: dict[Role, Person]) -> None:
    with signed_in(catalog_home, people[Role.STEWARD]) as http:
        begun = http.post("/register/file", data={"name": "a.csv", "bytes": "4", "modified": "0"}).json()
        assert begun == {"address": begun["address"], "received": 0, "part": PART_BYTES}
        draft_at = begun["address"].removesuffix("/file")
    with signed_in(catalog_home, people[Role.OPERATOR]) as http:
        for step in ("file", "columns", "description", "terms", "review"):
            assert http.get(f"{draft_at}/{step}").status_code == 404
        assert http.put(f"{draft_at}/file", content=b"a\n1\n").status_code == 404
        assert http.post(f"{draft_at}/discard").status_code == 404
    with signed_in(catalog_home, people[Role.STEWARD]) as http:
        assert http.put(f"{draft_at}/file?offset=1", content=b"\n1\n").json()["received"] == 0
        assert http.put(f"{draft_at}/file", content=b"a\n1\n more").status_code == 409
        assert http.put(f"{draft_at}/file", content=b"a\n1\n").json() == {"received": 4}
        assert http.put(f"{draft_at}/file", content=b"x" * (PART_BYTES + 1)).status_code == 413
        assert http.post(f"{draft_at}/file/end").json() == {"next": f"{draft_at}/columns"}


def test_what_is_wrong_stands_beside_its_field_and_nothing_typed_is_lost(
    catalog_home: Home, people: dict[Role, Person]
) -> None:
    wrong = fields("Not A Slug!", title="", country="XX1", theme="secret", description='Kept "as it was"')
    with signed_in(catalog_home, people[Role.STEWARD]) as http:
        described = http.post("/register", data={"kept_at": "site"}).headers["Location"]
        page = http.post(described, data={**wrong, "node": "rotterdam"})
        assert page.status_code == 422
        for field in ("id", "title", "country", "theme"):
            assert re.search(rf'<p class="wrong" id="{field}-wrong">', page.text), field
            assert re.search(
                rf'id="{field}"[^>]*aria-describedby="[^"]*{field}-wrong"[^>]*aria-invalid="true"', page.text
            ), field
        assert page.text.count('class="wrong"') == 4
        for shown in (page, http.get(described)):
            assert 'value="Not A Slug!"' in shown.text
            assert "Kept &#34;as it was&#34;" in shown.text
        fine = {**fields(f"fine-{uuid.uuid4().hex[:8]}"), "node": "rotterdam"}
        assert http.post(described, data=fine).status_code == 303
        terms = described.replace("/description", "/terms")
        said = http.post(terms, data={**fine, "access": "public", "purposes": "a c"}, headers={"Accept-Language": "de"})
        assert language("de").words("a dataset kept at a site is federated-only") in said.text
        assert 'id="access-wrong"' in said.text
        assert [bool(re.search(rf'value="{one}" checked', said.text)) for one in "abc"] == [True, False, True]


def test_the_second_of_two_editors_is_told_and_loses_nothing(
    catalog_home: Home, people: dict[Role, Person], name: str
) -> None:
    with lab_client(catalog_home, "operator") as client, signed_in(catalog_home, people[Role.STEWARD]) as http:
        client.register_dataset(draft(id=name))
        seen = re.search(r'name="revision" value="(\d+)"', http.get(f"/datasets/{name}/edit").text)
        assert seen is not None
        client.update_dataset(name, DatasetPatch(title="The first editor's title"), revision=1)
        mine = {**fields(name), "revision": seen[1], "steward": "My steward"}
        told = http.post(f"/datasets/{name}/edit", data=mine)
        assert told.status_code == 409
        assert "Somebody else has changed this dataset meanwhile." in told.text
        assert "The first editor's title" in text_of(told)
        assert 'value="My steward"' in told.text
        assert client.dataset(name).revision == 2
        again = re.search(r'name="revision" value="(\d+)"', told.text)
        assert again is not None
        saved = http.post(f"/datasets/{name}/edit", data={**mine, "revision": again[1]})
        assert saved.headers["Location"] == f"/datasets/{name}?notice=changed"
        assert (client.dataset(name).steward, client.dataset(name).revision) == ("My steward", 3)
        assert http.post(f"/datasets/{name}/edit", data={**mine, "revision": "3", "title": ""}).status_code == 422


def test_another_holders_dataset_cannot_be_changed(catalog_home: Home, people: dict[Role, Person], name: str) -> None:
    with lab_client(catalog_home, "operator") as client:
        client.register_dataset(draft(id=name, holder="erasmus"))
    with signed_in(catalog_home, people[Role.STEWARD]) as http:
        assert "/edit" not in http.get(f"/datasets/{name}").text
        assert http.get(f"/datasets/{name}/edit").status_code == 403
        assert http.post(f"/datasets/{name}/edit", data=fields(name)).status_code == 403


def test_the_list_is_searched_narrowed_and_ordered_by_its_address(
    catalog_home: Home, people: dict[Role, Person], name: str, staging: Staging
) -> None:
    with lab_client(catalog_home, "operator") as client, lab_client(catalog_home, "pipeline") as pipeline:
        for number in range(25):
            terms = {"data_class": "anonymous", "access": "public"} if number % 5 else {}
            country = "DE" if number < 20 else "NL"
            client.register_dataset(
                draft(id=f"{name}-{number:02}", title=f"{name} {number:02}", country=country, **terms)
            )
        pipeline.publish(f"{name}-07", staging.request(f"{name}-07", "rows", rows=700))

    def shown(query: str) -> tuple[int, list[str]]:
        page = http.get(f"/datasets?q={name}{query}" + ("" if "sort" in query else "&sort=title"))
        total = re.search(r'id="total"[^>]*>(\d+) dataset', page.text)
        assert total is not None
        return int(total[1]), re.findall(rf'href="/datasets/{name}-(\d\d)"', page.text)

    with signed_in(catalog_home, people[Role.RESEARCHER]) as http:
        assert shown("") == (25, [f"{number:02}" for number in range(20)])
        assert shown("&page=2") == (25, ["20", "21", "22", "23", "24"])
        assert shown("&page=99") == shown("&page=2")
        assert shown("&access=restricted") == (5, ["00", "05", "10", "15", "20"])
        assert shown("&access=restricted&country=NL") == (1, ["20"])
        assert shown("&access=restricted&access=public")[0] == 25
        assert shown("&sort=rows")[1][0] == "07"
        assert shown("%2022") == (1, ["22"])
        assert shown("&licence=nonsense")[0] == 0
        assert shown("&extent=under-1000") == (1, ["07"])
        facets = text_of(http.get(f"/datasets?q={name}&country=NL&access=public"))
        assert re.search(r"Access ✓ Public 4 Restricted 1 ", facets)
        assert re.search(r"Country Germany 16 ✓ Netherlands 4 ", facets)
        page = http.get(f"/datasets?q={name}&country=NL&access=public&sort=title")
        chips = re.findall(r'<li><a href="([^"]+)"><span>([^<]+)</span>', page.text.partition('class="browse"')[0])
        assert {text: html.unescape(href) for href, text in chips} == {
            "Access: Public": f"/datasets?q={name}&country=NL&sort=title",
            "Country: Netherlands": f"/datasets?q={name}&access=public&sort=title",
        }
        assert (
            f'href="/datasets?q={name}&amp;country=NL&amp;access=public&amp;access=restricted&amp;sort=title"'
            in page.text
        )
        for kept in ('name="country" value="NL"', 'name="access" value="public"', 'name="sort" value="title"'):
            assert f'<input type="hidden" {kept}>' in page.text
        assert "No dataset is like that" in http.get("/datasets?q=%3Cscript%3E").text
        assert http.get("/datasets?page=0").status_code == 422
        assert http.get("/datasets/No_Such!").status_code == 404


def test_small_counts_are_shown_to_those_who_may_see_them(
    catalog_home: Home, people: dict[Role, Person], name: str, staging: Staging
) -> None:
    with lab_client(catalog_home, "operator") as client, lab_client(catalog_home, "pipeline") as pipeline:
        client.register_dataset(draft(id=name))
        pipeline.publish(name, staging.request(name, "small", rows=686))
    rejected = {}
    for role, person in people.items():
        with signed_in(catalog_home, person) as http:
            found = re.search(r"Rejected by the contract (\w+)", text_of(http.get(f"/datasets/{name}/quality")))
            assert found is not None
            rejected[role] = found[1]
            assert http.get(f"/datasets/{name}/activity").status_code == (
                200 if role in {Role.OPERATOR, Role.AUDITOR} else 403
            )
    withheld = dict.fromkeys((Role.RESEARCHER, Role.ACCESS_BODY), "withheld")
    assert rejected == {**dict.fromkeys((Role.STEWARD, Role.AUDITOR, Role.OPERATOR), "1"), **withheld}


def test_the_audit_is_filtered_exported_and_verified(catalog_home: Home, people: dict[Role, Person], name: str) -> None:
    with lab_client(catalog_home, "operator") as client, signed_in(catalog_home, people[Role.AUDITOR]) as http:
        client.register_dataset(draft(id=name))
        client.update_dataset(name, DatasetPatch(title="=HYPERLINK(1)"), revision=1)
        query = f"actor=operator&action=dataset.&subject=dataset/{name}"
        page = text_of(http.get(f"/audit?{query}"))
        assert page.count(f"dataset/{name}") == 2
        answer = http.get(f"/audit/export?{query}")
        assert answer.headers["Content-Disposition"] == 'attachment; filename="audit.csv"'
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert [row["action"] for row in rows] == ["dataset.updated", "dataset.registered"]
        day = rows[-1]["time"][:10]
        for period, count in (("", 2), (f"&since={day}", 2), ("&since=2999-01-01", 0), ("&until=2000-01-01", 0)):
            found = csv.DictReader(io.StringIO(http.get(f"/audit/export?{query}{period}").text))
            assert len(list(found)) == count, period
        assert "No entry is like that" in http.get("/audit?until=2000-01-01&actor=").text
        assert http.get("/audit?since=yesterday").status_code == 422
        everything = list(csv.DictReader(io.StringIO(http.get("/audit/export").text)))
        assert [int(row["n"]) for row in everything] == list(range(len(everything), 0, -1))
        assert re.search(r"✓ Chain verified, \d+ entries", text_of(http.get("/audit/verification")))
        assert "No entry is like that" in http.get("/audit?actor=nobody").text


def test_a_personal_token_is_shown_once_and_can_be_revoked(catalog_home: Home, people: dict[Role, Person]) -> None:
    url = catalog_home.address("lab")["url"]
    with signed_in(catalog_home, people[Role.RESEARCHER]) as http:
        assert http.post("/account/tokens", data={"label": "", "days": "7"}).status_code == 422
        page = http.post("/account/tokens", data={"label": "my notebook", "days": "7"})
        (token,) = set(re.findall(r"datalab_[A-Za-z0-9_-]{43}", page.text))
        again = http.get("/account")
        assert token not in again.text
        assert "my notebook" in again.text
        with LabClient(url, token) as client:
            client.datasets()
            (revoke,) = set(re.findall(r"/account/tokens/[0-9a-f]{32}/revoke", again.text))
            assert http.post(revoke).headers["Location"] == "/account?notice=token-revoked"
            with pytest.raises(IdentityError):
                client.datasets()


@pytest.mark.parametrize("code", NAMES)
def test_pages_are_in_the_readers_language_small_and_strictly_guarded(
    catalog_home: Home, people: dict[Role, Person], code: str
) -> None:
    paths = [route.path for route in every_page() if route.methods == {"GET"} and "{" not in route.path]
    with signed_in(catalog_home, people[Role.OPERATOR]) as http:
        http.post("/language", data={"language": code})
        for path in [*paths, "/nowhere"]:
            page = http.get(path)
            if page.status_code == 303 or path == "/audit/export":
                continue
            assert f'<html lang="{code}">' in page.text, path
            policy = page.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert page.headers["X-Content-Type-Options"] == "nosniff"
            assert not re.search(r"\s(style|on\w+)=", page.text), path
            assets = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text))
            assert any(asset.endswith("/app.css") for asset in assets), path
            if path in {"/datasets", "/audit"}:  # others do without it
                assert any(asset.endswith("/htmx.min.js") for asset in assets), "run: make env"
            files = [http.get(asset) for asset in assets]
            assert all(file.status_code == 200 and "immutable" in file.headers["Cache-Control"] for file in files)
            assert len(page.content) + sum(len(file.content) for file in files) <= MAX_BYTES, path


def test_every_answer_carries_the_security_headers(catalog_home: Home, people: dict[Role, Person]) -> None:
    expected = {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }
    with signed_in(catalog_home, people[Role.RESEARCHER]) as http:
        asset = re.findall(r'href="(/static/[^"]+\.css)"', http.get("/datasets").text)[0]
        answers = {
            200: ("/datasets", asset, "/api/v1/health", "/sign-in", "/public-register"),
            303: ("/",),
            401: ("/api/v1/datasets",),
            403: ("/audit",),
            404: ("/nowhere", "/static/nothing.js", "/api/v1/nowhere"),
            422: ("/datasets?page=0",),
        }
        for status, paths in answers.items():
            for path in paths:
                answer = http.get(path)
                assert answer.status_code in {status, 401}, path
                assert {name: answer.headers.get(name) for name in expected} == expected, path
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"], path
                assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], path
                assert "Server" not in answer.headers, path
                if path != asset:
                    assert answer.headers["Cache-Control"] == "no-store", path


def test_a_form_is_bounded_and_must_be_a_form(catalog_home: Home) -> None:
    with visit(catalog_home) as http:
        assert http.post("/sign-in", content=b"{}", headers={"Content-Type": "application/json"}).status_code == 400
        assert http.post("/sign-in", data={"name": "x" * 200_000}).status_code == 413
        assert http.post("/sign-in", content=b"a=%ff", headers={"Content-Type": _FORM}).status_code == 400
        assert http.put("/sign-in").status_code == 405


def test_behind_https_the_cookie_is_secure_and_the_public_address_is_the_origin(lab_home: Home, tmp_path: Path) -> None:
    home = home_beside(lab_home, tmp_path)
    (home.path / "datalab.toml").write_text(
        'public_url = "https://lab.example.eu"\n[ports]\nlab = 0\n', encoding="utf-8"
    )
    with Supervisor() as supervisor:
        supervisor.start(SERVICE.name, SERVICE.module, home)
        outside = {"Origin": "https://lab.example.eu", "Host": "lab.example.eu"}
        with lab_client(home, "operator") as client, visit(home, **outside) as http:
            code = client.invite(AccountDraft(name="rosa", role=Role.RESEARCHER, organisation="start-up")).code
            http.post("/password", data={"code": code, "password": PASSWORD, "again": PASSWORD})
            cookie = http.post("/sign-in", data={"name": "rosa", "password": PASSWORD}).headers["Set-Cookie"]
            assert cookie.startswith("__Host-datalab=")
            assert {"Secure", "HttpOnly", "Path=/", "SameSite=strict"} <= set(cookie.split("; "))
            inside = {"Origin": home.address("lab")["url"]}
            assert http.post("/sign-in", data={}, headers=inside).status_code == 403
