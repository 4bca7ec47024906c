from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute

from catalog.client import LabClient, lab_client
from catalog.errors import ConflictError, NotPermittedError
from catalog.landing import Landing
from catalog.permissions import DECISIONS, Action, may
from catalog.records import AccountDraft, Announcement, DatasetPatch, Role
from catalog.run_records import DatasetVersion, RunDraft, RunPatch, RunState
from catalog.search.model import SearchQuery
from catalog.web.guard import MAX_BODY
from datalab.canonical import sha256_file, sha256_hex
from datalab.errors import BadInputError, IdentityError, NotFoundError
from datalab.home import Home
from datalab.storage.store import ObjectStore
from tests.integration.catalog.conftest import Staging
from tests.support.pages import give_second_factor, own_token, settle, signed_in
from tests.unit.catalog.examples import SHA, anonymous, at_site, draft, report
from tests.unit.catalog.test_permissions import PERSONS
from tests.unit.catalog.test_routes import action_of, address_of, every_route, is_open, is_public

NO_SUCH = {
    "source": "no-such",
    "entry": "no-such.0123456789abcdef",
    "object_id": "nothing.v1.0",
    "access_id": "https",
    "name": "nothing",
    "holder": "nowhere",
    "dataset": "nowhere",
    "upload": "nowhere",
    "permit": "nowhere",
    "run": "nowhere",
    "request": "nowhere",
    "project": "nowhere",
    "number": "1",
    "form": "dcat-ap",
}


@pytest.fixture(scope="module")
def tokens(catalog_home: Home) -> dict[Role, str]:
    """A bearer token for every role."""
    made = {role: catalog_home.secret(f"token-{role}") for role in Role}
    with lab_client(catalog_home, "operator") as client:
        for role in (Role.STEWARD, Role.RESEARCHER, Role.ACCESS_BODY, Role.AUDITOR):
            issued = client.create_account(AccountDraft(name=f"a-{role}", role=role, organisation="gbsg"))
            made[role] = issued.token
    return made


@pytest.fixture(scope="module")
def clients(catalog_home: Home, tokens: dict[Role, str]) -> Iterator[dict[Role, LabClient]]:
    """A client for every role."""
    url = catalog_home.address("lab")["url"]
    with ExitStack() as stack:
        yield {role: stack.enter_context(LabClient(url, token)) for role, token in tokens.items()}


@pytest.fixture(scope="module")
def http(catalog_home: Home) -> Iterator[httpx.Client]:
    """Plain HTTP, without any token."""
    url = f"{catalog_home.address('lab')['url']}/api/v1"
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture
def name() -> str:
    """A dataset of this test's own."""
    return f"atlas-{uuid.uuid4().hex[:8]}"


def call(http: httpx.Client, route: APIRoute, token: str | None) -> httpx.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    (method,) = route.methods or {"GET"}
    address = http.base_url.copy_with(path=address_of(route).format(**NO_SUCH))
    return http.request(method, address, headers=headers, json={})


GUARDED = [route for route in every_route() if not is_open(route)]


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: f"{route.name} {route.path}")
def test_every_route_refuses_whoever_its_permission_does_not_name(
    route: APIRoute, http: httpx.Client, tokens: dict[Role, str]
) -> None:
    takes_a_password = action_of(route).action is Action.VERSION_DOWNLOAD
    for token in ("wrong", "x" * 1000) if is_public(route) else (None, "wrong", "x" * 1000):
        answer = call(http, route, token)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == f'{"Basic" if takes_a_password else "Bearer"} realm="Datalab"'
    for role, token in tokens.items():
        refused = call(http, route, token).status_code == 403
        action = action_of(route).action
        assert refused == (not may(role, action) or (action in DECISIONS and role in PERSONS - {Role.OPERATOR})), role


def test_only_health_and_the_register_need_no_account(http: httpx.Client) -> None:
    assert http.get("/health").json() == {"status": "ok"}
    assert http.get("/register").json() == []
    assert http.get("/revocations", params={"key": "A" * 43}).status_code == 404
    assert http.post("/register").status_code == 405
    for path in ("/openapi.json", "/docs", "/nowhere", "/%2e%2e/%2e%2e/etc/passwd"):
        assert http.get(path).status_code == 401
    assert http.get("/../../etc/passwd").status_code == 404


def test_every_answer_carries_the_security_headers(http: httpx.Client) -> None:
    for path in ("/health", "/datasets"):
        headers = http.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert "server" not in headers


def test_a_dataset_is_registered_read_and_changed(clients: dict[Role, LabClient], name: str) -> None:
    steward, researcher = clients[Role.STEWARD], clients[Role.RESEARCHER]
    registered = steward.register_dataset(draft(id=name))
    assert researcher.dataset(name) == registered
    assert registered in researcher.datasets()
    changed = steward.update_dataset(name, DatasetPatch(licence="CC-BY-4.0"), revision=1)
    assert (changed.licence, changed.title, changed.revision) == ("CC-BY-4.0", registered.title, 2)
    assert steward.update_dataset(name, DatasetPatch(licence=None), revision=2).licence is None
    with pytest.raises(ConflictError, match="revision 3, not 1"):
        steward.update_dataset(name, DatasetPatch(title="late"), revision=1)
    with pytest.raises(ConflictError, match="there already"):
        steward.register_dataset(draft(id=name))
    with pytest.raises(NotPermittedError, match="own organisation"):
        steward.register_dataset(draft(id=f"{name}-2", holder="erasmus"))


def test_more_datasets_than_a_page_all_come(clients: dict[Role, LabClient], name: str) -> None:
    made = [f"{name}-{number:03}" for number in range(105)]
    for one in made:
        clients[Role.OPERATOR].register_dataset(anonymous(id=one))
    found = [one.id for one in clients[Role.AUDITOR].datasets()]
    assert [one for one in found if one.startswith(f"{name}-")] == made
    assert found == sorted(set(found))


def test_a_change_without_its_revision_is_refused(
    http: httpx.Client, tokens: dict[Role, str], clients: dict[Role, LabClient], name: str
) -> None:
    clients[Role.OPERATOR].register_dataset(draft(id=name))
    headers = {"Authorization": f"Bearer {tokens[Role.OPERATOR]}"}
    answer = http.patch(f"/datasets/{name}", json={"title": "x"}, headers=headers)
    assert answer.status_code == 409
    assert answer.json()["error"]["where"] == "If-Match"


def test_an_error_arrives_as_what_where_and_next_step(
    http: httpx.Client, tokens: dict[Role, str], clients: dict[Role, LabClient]
) -> None:
    with pytest.raises(NotFoundError) as missing:
        clients[Role.AUDITOR].dataset("nowhere")
    assert missing.value.what == "There is no dataset nowhere."
    assert missing.value.next_step is not None

    headers = {"Authorization": f"Bearer {tokens[Role.OPERATOR]}"}
    stated = {**draft().model_dump(), "country": "a value nobody should read in a log"}
    answer = http.post("/datasets", json=stated, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["where"] == "body.country"
    assert "nobody should read" not in answer.text
    assert http.post("/datasets", content=b"{broken", headers=headers).status_code == 400
    assert http.put("/datasets", headers=headers).json()["error"]["what"] == "Method Not Allowed."


def test_a_body_beyond_the_bound_is_refused(http: httpx.Client, tokens: dict[Role, str]) -> None:
    headers = {"Authorization": f"Bearer {tokens[Role.OPERATOR]}"}
    answer = http.post("/datasets", content=b" " * (MAX_BODY + 1), headers=headers)
    assert answer.status_code == 413
    assert set(answer.json()["error"]) == {"what", "where", "next_step"}


def test_a_raw_file_is_streamed_and_digested(
    clients: dict[Role, LabClient], name: str, tmp_path: Path, object_store: ObjectStore, catalog_home: Home
) -> None:
    steward = clients[Role.STEWARD]
    steward.register_dataset(draft(id=name))
    raw = tmp_path / "Größe 2024.csv"
    raw.write_bytes(b"0123456789abcdef" * (20 << 16))  # 20 MiB: more than a part, and more than MAX_BODY
    upload = steward.upload(name, raw)
    assert upload.sha256 == sha256_file(raw)
    assert upload.bytes == 20 << 20
    assert upload.key == f"landing/gbsg/{name}/{upload.id}/Groe_2024.csv"
    assert upload.uploaded_by == "a-steward"
    assert upload.sealed is not None
    with object_store.landing.open(upload.key) as stored:
        lies = stored.read()
    assert sha256_hex(lies) == upload.sealed.sha256 != upload.sha256
    assert b"0123456789abcdef" not in lies
    assert sha256_hex(b"".join(Landing(catalog_home, object_store).read(upload))) == upload.sha256
    assert clients[Role.PIPELINE].get_upload(upload.id) == upload

    empty = tmp_path / "empty.csv"
    empty.touch()
    assert steward.upload(name, empty).bytes == 0


def test_an_upload_that_breaks_off_is_not_recorded(
    catalog_home: Home,
    clients: dict[Role, LabClient],
    tokens: dict[Role, str],
    name: str,
    object_store: ObjectStore,
) -> None:
    clients[Role.OPERATOR].register_dataset(draft(id=name))
    before = len(clients[Role.AUDITOR].events())

    def broken() -> Iterator[bytes]:
        yield b"the first half"
        raise ConnectionAbortedError

    with httpx.Client(base_url=catalog_home.address("lab")["url"], trust_env=False) as http:
        path = f"/api/v1/datasets/{name}/uploads?filename=a.csv"
        headers = {"Authorization": f"Bearer {tokens[Role.OPERATOR]}", "Content-Length": "28"}
        with pytest.raises(ConnectionAbortedError):
            http.post(path, content=broken(), headers=headers)
    clients[Role.AUDITOR].health()
    assert len(clients[Role.AUDITOR].events()) == before
    assert list(object_store.landing.list(f"landing/gbsg/{name}/")) == []
    assert "Traceback" not in catalog_home.log_file("lab").read_text()


def test_nothing_is_uploaded_of_data_that_stays_at_its_site(
    clients: dict[Role, LabClient], name: str, tmp_path: Path
) -> None:
    clients[Role.OPERATOR].register_dataset(at_site(id=name))
    (tmp_path / "a.csv").write_text("a")
    with pytest.raises(NotPermittedError, match="kept at its site"):
        clients[Role.OPERATOR].upload(name, tmp_path / "a.csv")


def test_personal_data_is_published_for_compute_and_downloaded_by_nobody(
    clients: dict[Role, LabClient], name: str, staging: Staging
) -> None:
    clients[Role.STEWARD].register_dataset(draft(id=name))
    request = staging.request(name, f"{name}-first")
    version = clients[Role.PIPELINE].publish(name, request)
    assert clients[Role.PIPELINE].publish(name, request) == version
    assert clients[Role.STEWARD].versions(name) == [version]
    assert clients[Role.COMPUTE].files(name, 1) == list(version.files)
    for role in (Role.OPERATOR, Role.STEWARD, Role.RESEARCHER):
        with pytest.raises(NotPermittedError, match="Article 73") as refused:
            clients[role].download_url(name, 1)
        assert "federated run" in str(refused.value.next_step)


def test_small_counts_of_personal_data_are_for_those_who_look_after_it(
    clients: dict[Role, LabClient], name: str, staging: Staging
) -> None:
    clients[Role.STEWARD].register_dataset(draft(id=name))
    request = staging.request(name, f"{name}-first", rows=100, rows_in=103, rejected_rows=2, excluded={"censored": 1})
    version = clients[Role.PIPELINE].publish(name, request)
    assert clients[Role.STEWARD].version(name, 1) == version
    seen = clients[Role.RESEARCHER].version(name, 1)
    assert seen.report == version.report.public() != version.report
    assert clients[Role.RESEARCHER].versions(name) == [seen]


def test_public_data_is_downloaded_from_a_short_lived_address(
    clients: dict[Role, LabClient], name: str, staging: Staging
) -> None:
    clients[Role.STEWARD].register_dataset(anonymous(id=name))
    version = clients[Role.PIPELINE].publish(name, staging.request(name, f"{name}-first"))
    address = clients[Role.RESEARCHER].download_url(name, 1)
    got = httpx.get(address, trust_env=False)
    assert sha256_hex(got.content) == version.files[0].sha256
    with pytest.raises(NotFoundError, match="no file number 1"):
        clients[Role.RESEARCHER].download_url(name, 1, file=1)


def test_a_node_announces_and_a_run_is_kept_on_record(clients: dict[Role, LabClient], name: str) -> None:
    clients[Role.OPERATOR].register_dataset(at_site(id=name))
    said = Announcement(node="rotterdam", version=1, report=report(rows=None, excluded={"censored": None}))
    version = clients[Role.GATEWAY].announce(name, said)
    assert clients[Role.GATEWAY].announce(name, said) == version
    assert version.report == said.report

    used = (DatasetVersion(dataset=name, version=1),)
    run = clients[Role.GATEWAY].create_run(
        RunDraft(id=f"run-{name}", app_digest=SHA, datasets=used, nodes=("rotterdam",))
    )
    running = clients[Role.RUNNER].update_run(run.id, RunPatch(state=RunState.RUNNING), revision=run.revision)
    patch = RunPatch(state=RunState.FINISHED, card={"rounds": 2, "loss": 0.5})
    done = clients[Role.RUNNER].update_run(run.id, patch, revision=running.revision)
    assert clients[Role.STEWARD].run(run.id) == done
    assert run.id not in [one.id for one in clients[Role.RESEARCHER].runs.all()]  # another organisation's
    assert done.started is not None
    assert done.finished is not None
    assert done.card == {"rounds": 2, "loss": 0.5}
    assert done in clients[Role.AUDITOR].runs.all()


def test_every_change_is_in_the_audit_chain(clients: dict[Role, LabClient], name: str) -> None:
    auditor = clients[Role.AUDITOR]
    before = auditor.verify_events()
    clients[Role.STEWARD].register_dataset(draft(id=name))
    (event,) = auditor.events(after=before.events)
    assert (event.actor, event.action, event.subject) == ("a-steward", "dataset.registered", f"dataset/{name}")
    after = auditor.verify_events()
    assert (after.events, after.broken_at) == (before.events + 1, None)
    assert event.previous == before.head
    assert after.head == event.hash


def test_a_token_of_nobody_is_an_identity_error(catalog_home: Home) -> None:
    url = catalog_home.address("lab")["url"]
    with LabClient(url, "nobody") as client, pytest.raises(IdentityError, match="not known here"):
        client.datasets()


def test_a_permit_that_is_not_one_is_refused(clients: dict[Role, LabClient]) -> None:
    with pytest.raises(NotPermittedError, match="pins no key"):
        clients[Role.OPERATOR].record_permit("a.b.c")
    with pytest.raises(BadInputError):
        clients[Role.OPERATOR].record_permit("not a token")
    assert clients[Role.ACCESS_BODY].permits() == []


def test_a_token_decides_only_if_it_was_made_with_a_second_factor(
    catalog_home: Home, clients: dict[Role, LabClient]
) -> None:
    with pytest.raises(NotPermittedError, match="has not the scope decide"):
        clients[Role.ACCESS_BODY].record_permit("a.b.c")
    url, person = catalog_home.address("lab")["url"], settle(catalog_home, "abel", Role.ACCESS_BODY, "body")
    with signed_in(catalog_home, person) as http:
        with LabClient(url, own_token(http, "write")) as client, pytest.raises(NotPermittedError, match="scope decide"):
            client.record_permit("a.b.c")
        refused = http.post("/account/tokens", data={"label": "all", "days": "7", "scope": "decide"})
        assert (refused.status_code, "with a second factor only" in refused.text) == (422, True)
        give_second_factor(http)
        with LabClient(url, own_token(http, "decide")) as client, pytest.raises(NotPermittedError, match="pins no key"):
            client.record_permit("a.b.c")
        with LabClient(url, own_token(http, "read")) as client:
            client.datasets()
            with pytest.raises(NotPermittedError, match="scope decide"):
                client.revoke_permit("nowhere")
    with signed_in(catalog_home, settle(catalog_home, "sam", Role.STEWARD)) as http:
        looking = own_token(http, "read")
    with LabClient(url, looking) as client, pytest.raises(NotPermittedError, match="scope write"):
        client.register_dataset(draft(id="not-with-this"))


def test_how_many_decide_is_not_changed_with_a_token_that_may_not_decide(
    clients: dict[Role, LabClient], name: str
) -> None:
    steward = clients[Role.STEWARD]
    steward.register_dataset(draft(id=name, two_people=True))
    with pytest.raises(NotPermittedError, match="scope decide"):
        steward.update_dataset(name, DatasetPatch(two_people=False), revision=1)
    changed = steward.update_dataset(name, DatasetPatch(title="Sensitive"), revision=1)
    assert (changed.title, changed.two_people) == ("Sensitive", True)


def test_a_search_finds_what_was_just_registered_and_counts_facets(clients: dict[Role, LabClient], name: str) -> None:
    steward, researcher = clients[Role.STEWARD], clients[Role.RESEARCHER]
    word = f"zanzibar{name[-8:]}"
    steward.register_dataset(draft(id=name, title=f"Registry of {word}", keywords=("lichens",)))
    steward.register_dataset(draft(id=f"{name}-2", title=f"Another of {word}", theme="ENVI"))
    both = researcher.search(SearchQuery(text=word))
    assert {hit.dataset.id for hit in both.own} == {name, f"{name}-2"}
    assert {one.value: one.count for one in both.facets["theme"]} == {"HEAL": 1, "ENVI": 1}
    narrowed = researcher.search(SearchQuery(text=word, filters={"theme": ("ENVI",), "holder": ("gbsg",)}))
    assert [hit.dataset.id for hit in narrowed.own] == [f"{name}-2"]


def test_small_counts_are_not_told_by_a_search(
    clients: dict[Role, LabClient], staging: Staging, name: str, tokens: dict[Role, str]
) -> None:
    clients[Role.STEWARD].register_dataset(draft(id=name, title=f"Few {name}"))
    clients[Role.PIPELINE].publish(name, staging.request(name, f"{name}-intent"))
    asked = SearchQuery(text=name)
    (seen,) = (hit for hit in clients[Role.RESEARCHER].search(asked).own if hit.dataset.id == name)
    (own,) = (hit for hit in clients[Role.STEWARD].search(asked).own if hit.dataset.id == name)
    assert (seen.version, seen.rows, own.rows) == (1, None, 3)
