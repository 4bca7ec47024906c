"""A lab in which every page has something to show, made as people would: by forms, pipelines, nodes and runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from catalog.client import LabClient, lab_client
from catalog.harvest.records import SourceDraft
from catalog.records import DatasetPatch, DatasetState, Role, StateChange
from catalog.run_records import DatasetVersion, Launch, LaunchPlace, RunDraft, RunState
from catalog.search.model import RemoteHit, SearchQuery
from catalog.service import SERVICE as LAB
from datalab.home import Home
from datalab.service import Service
from datalab.storage.store import connect
from datalab.supervisor import Supervisor
from federation.bundle import pack
from federation.enrolment.client import enrol
from federation.run import RunFolder
from tests.integration.catalog.conftest import Staging
from tests.integration.runs.conftest import NODE, PERMIT, whole_lab
from tests.integration.web.test_access_pages import begin, hand_in, revision
from tests.support.federation import DATASET, ECHO, Federation
from tests.support.pages import PASSWORD, Person, give_second_factor, own_token, settle, signed_in, visit
from tests.support.waiting import wait_until
from tests.unit.catalog.examples import anonymous, at_site, described, draft
from tests.unit.harvest.catalogues import PREFIXES, dataset

PATIENCE = 180.0
"""Seconds that a pipeline or a run may take on a busy machine."""
TABLE = "Region;Year;Sex;Cases\n"


@dataclass
class Filled:
    """What is in the lab, by the names under which pages are asked for (``tests.support.every_page``).

    Attributes:
        home: of the lab.
        people: one of each role; those who decide have given their second factor.
        cookies: of their sessions.
        half: of a session that still lacks the second factor.
        names: what stands in the addresses of pages.
    """

    home: Home
    people: dict[Role, Person] = field(default_factory=dict)
    cookies: dict[Role, str] = field(default_factory=dict)
    half: str = ""
    names: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The lab's address."""
        return str(self.home.address("lab")["url"])

    def http(self, role: Role) -> httpx.Client:
        """Return the browser of the one who has that role, without the browser."""
        made = visit(self.home)
        made.cookies.set("datalab", self.cookies[role])
        made.timeout = httpx.Timeout(60)
        return made


@contextmanager
def filled_lab(lab_home: Home, folder: Path, *, server: Service = LAB) -> Iterator[Filled]:
    """Fill a lab, whose object store is that of ``lab_home``, below ``folder``; its processes end with the context.

    Args:
        lab_home: of the object store.
        folder: for the homes of everybody else.
        server: the lab server.
    """
    with Supervisor() as supervisor, ThreadPoolExecutor() as pool:
        federation = whole_lab(lab_home, folder, supervisor, server=server)
        filled = Filled(federation.lab)
        settle_all(filled)
        _datasets(filled, Staging(connect(lab_home), folder))
        _sources(filled, folder)
        _drafts(filled)
        _curations(filled)
        _requests(filled)
        _runs(filled, federation)
        with filled.http(Role.OPERATOR) as operator:
            form = {"name": "leiden", "organisation": "Leiden hospital", "country": "NL"}
            (token,) = re.findall(r"<code>([A-Za-z0-9_-]{200,})</code>", operator.post("/nodes/invite", data=form).text)
            enrolled = pool.submit(enrol, token, folder / "leiden")
            wait_until(
                lambda: "The key of leiden waits" in operator.get("/nodes").text, "the key has come in", PATIENCE
            )
        try:
            yield filled
        finally:  # or whoever waits for the certificate would wait for long
            with filled.http(Role.OPERATOR) as operator:
                (key,) = set(re.findall(r"<code>([0-9a-f]{64})</code>", operator.get("/nodes/leiden/approve").text))
                operator.post("/nodes/leiden/approve", data={"key": key})
            enrolled.result(90)
            with filled.http(Role.RESEARCHER) as rosa:
                rosa.post(f"/runs/{filled.names['running']}/cancel")


def settle_all(filled: Filled) -> None:
    """Settle one person of each role in a lab, and sign them in."""
    named = {
        Role.STEWARD: ("stella", "gbsg"),
        Role.RESEARCHER: ("rosa", "start-up"),
        Role.ACCESS_BODY: ("anton", "hdab"),
        Role.AUDITOR: ("audrey", "lab"),
        Role.OPERATOR: ("olga", "lab"),
    }
    for role, (name, organisation) in named.items():
        filled.people[role] = settle(filled.home, name, role, organisation)
        with signed_in(filled.home, filled.people[role]) as http:
            if role in {Role.STEWARD, Role.ACCESS_BODY, Role.OPERATOR}:
                give_second_factor(http)
            filled.cookies[role] = http.cookies["datalab"]
    with visit(filled.home) as http:
        http.post("/sign-in", data={"name": "olga", "password": PASSWORD, "next": "/datasets"})
        filled.half = http.cookies["datalab"]


def _datasets(filled: Filled, staging: Staging) -> None:
    with lab_client(filled.home, "operator") as client, lab_client(filled.home, "pipeline") as pipeline:
        client.register_dataset(draft(modality="tabular", **described()))
        client.register_dataset(
            at_site(id="rotterdam", title="Rotterdam tumour bank", holder="erasmus", holder_name="Erasmus MC")
        )
        client.register_dataset(anonymous(id="atlas", title="Atlas of cancer incidence", **described()))
        client.register_dataset(anonymous(id="weather", title="Rainfall by region", theme="ENVI", access="restricted"))
        for name, intent, rows in (("gbsg", "first", 686), ("gbsg", "second", 700), ("atlas", "first", 400)):
            pipeline.publish(name, staging.request(name, f"{name}-{intent}", rows=rows))
        client.register_dataset(draft(id="coming", title="A registry that is being prepared"), state=DatasetState.DRAFT)
        found = client.register_dataset(draft(id="closed", title="A registry that is closed"))
        change = StateChange(state=DatasetState.WITHDRAWN, reason="The consent has ended.")
        client.move_dataset("closed", change, revision=found.revision)


def _sources(filled: Filled, folder: Path) -> None:
    """Another catalogue, two datasets of which are found here, and one of which all was gone at once."""
    page = folder / "catalogue.ttl"
    page.write_text(PREFIXES + dataset(1, "Registry of rare cancers") + dataset(2), encoding="utf-8")
    with lab_client(filled.home, "operator") as client:
        client.add_source(SourceDraft(id="portal", name="National portal", country="NL"))
        client.harvest("portal", file=page)
        address = "https://catalogue.example/all.ttl"
        client.add_source(SourceDraft(id="emptied", name="Emptied portal", address=address, country="BE"))
        page.write_text(PREFIXES + dataset(3, "Panel on noise"), encoding="utf-8")
        client.harvest("emptied", file=page)
        page.write_text(f"{PREFIXES}<{address}> a dcat:Catalog .", encoding="utf-8")
        client.harvest("emptied", file=page)
        (hit, *_) = client.search(SearchQuery(text="rare", filters={"source": ("portal",)})).hits
    assert isinstance(hit, RemoteHit)
    filled.names["remote"] = hit.remote.id


def upload(http: httpx.Client, name: str, content: bytes) -> str:
    """Hand a file in as the pages' script does, and return the address of its draft."""
    said = {"name": name, "bytes": str(len(content)), "modified": "0"}
    address = str(http.post("/register/file", data=said).raise_for_status().json()["address"])
    http.put(address, content=content).raise_for_status()
    http.post(f"{address}/end").raise_for_status()
    return address.removesuffix("/file")


def _rows(*, broken: frozenset[int] = frozenset(), rows: int = 200) -> bytes:
    cases = ["many" if number + 2 in broken else str(20 + number % 97) for number in range(rows)]
    lines = [f"Region {number % 8};{2004 + number % 20};{'FM'[number % 2]};{cases[number]}" for number in range(rows)]
    return (TABLE + "\n".join(lines) + "\n").encode()


def _drafts(filled: Filled) -> None:
    with filled.http(Role.STEWARD) as http:
        filled.names["draft"] = upload(http, "mortality by year.csv", _rows(broken=frozenset({4}))).rpartition("/")[2]
        filled.names["identifying"] = upload(
            http, "visits.csv", b"Patient-ID,age\n" + b"".join(b"%d,%d\n" % (one, one % 50) for one in range(60))
        ).rpartition("/")[2]
        said = {"name": "long.csv", "bytes": str(20 << 20), "modified": "0"}
        begun = http.post("/register/file", data=said).raise_for_status().json()["address"]
        filled.names["begun"] = begun.split("/")[2]
        filled.names["at_site"] = http.post("/register", data={"kept_at": "site"}).headers["Location"].split("/")[2]


def _curations(filled: Filled) -> None:
    """Publish a file of which two records are rejected, and try one of which too many are."""
    everything = frozenset(range(2, 202))
    with filled.http(Role.STEWARD) as http:
        for name, broken in (("incidence", frozenset({12, 40})), ("broken", everything)):
            at = upload(http, f"{name}.csv", _rows(broken=broken))
            columns = {f"type-{one}": kind for one, kind in enumerate(("string", "integer", "string", "integer"))}
            http.post(f"{at}/columns", data=columns)
            said = {
                "title": name.capitalize(), "id": name, "language": "en", "description": "Cases by region.",
                "keywords": "cancer", "modality": "tabular", "theme": "HEAL", "holder": "gbsg",
                "holder_name": "German Breast Cancer Study Group", "country": "DE", "steward": "Data office",
            }  # fmt: skip
            http.post(f"{at}/description", data=said)
            terms = {"data_class": "anonymous", "access": "restricted", "licence": "CC-BY-4.0"}
            assert http.post(f"{at}/terms", data=terms).status_code == 303
            begun = http.post(f"{at}/review", data={"looked": "yes"})
            assert begun.status_code == 303, begun.text
            filled.names[f"{name}_run"] = begun.headers["Location"].rpartition("/")[2]
            if name == "broken":
                filled.names["broken_draft"] = at.rpartition("/")[2]
            end = {"incidence": "Version 1 is published", "broken": "No version was published"}[name]
            wait_until(lambda: end in http.get(begun.headers["Location"]).text, end, PATIENCE)  # noqa: B023


def _requests(filled: Filled) -> None:
    with filled.http(Role.RESEARCHER) as rosa, filled.http(Role.STEWARD) as stella:
        started = {name: begin(rosa, title=title) for name, title in _TITLES.items()}
        started["statistic"] = begin(rosa, kind="statistic", datasets="weather", title="Rainfall")
        for name in ("asked", "approved", "returned"):
            hand_in(rosa, started[name])
        hand_in(rosa, started["statistic"], aim="Mean rainfall by region", datasets="weather", people="", months="")
        form = {"revision": revision(stella, f"{started['returned']}/return"), "text": "Say more about the safeguards."}
        assert stella.post(f"{started['returned']}/return", data=form).status_code == 303
        form = {"revision": revision(stella, f"{started['statistic']}/approve"), "conditions": "Name the source."}
        assert stella.post(f"{started['statistic']}/approve", data=form).status_code == 303
        assert rosa.post(f"{started['asked']}/comments", data={"text": "When will you decide?"}).status_code == 303
        projects = re.findall(r"/projects/([0-9a-z-]+)", rosa.get("/projects").text)
        filled.names["project"] = projects[0]
    with filled.http(Role.ACCESS_BODY) as anton:
        form = {"revision": revision(anton, f"{started['approved']}/approve"), "conditions": "Results are published."}
        form["until"] = (datetime.now(UTC) + timedelta(days=90)).date().isoformat()
        assert anton.post(f"{started['approved']}/approve", data=form).status_code == 303
    filled.names |= {name: address.rpartition("/")[2] for name, address in started.items()}


_TITLES = {
    "written": "Recurrence of breast cancer",
    "asked": "Follow-up after surgery",
    "approved": "Age at diagnosis",
    "returned": "Waiting times",
}


def _runs(filled: Filled, federation: Federation) -> None:
    held = federation.permit(id="permit-2", data_user="start-up", people=("rosa",), release=True)
    with lab_client(filled.home, "operator") as operator, filled.http(Role.RESEARCHER) as http:
        operator.record_permit(held)
        wait_until(lambda: bool(operator.versions(DATASET)), "the node has announced its dataset", PATIENCE)
        found = operator.dataset(DATASET)
        operator.update_dataset(DATASET, DatasetPatch(description="A toy."), revision=found.revision)
        with LabClient(filled.url, own_token(http, "write")) as rosa:
            app = rosa.upload_app(pack(ECHO)).sha256
            places = (LaunchPlace(dataset=DATASET),)
            for name, permit, rounds in (
                ("finished", PERMIT, 5),
                ("held", "permit-2", 1),
                ("stopped", PERMIT, 100_000),
                ("running", PERMIT, 100_000),
            ):
                asked = Launch(app=app, places=places, permit=permit, rounds=rounds, parameters={"pause": 0.2})
                filled.names[f"run_{name}"] = run = rosa.submit_run(asked).id
                if name == "stopped":
                    rosa.cancel_run(run)
                state = RunState(name) if name != "held" else RunState.FINISHED
                wait_until(lambda: rosa.run(run).state is state, f"the run {name} is {state}", PATIENCE)  # noqa: B023
        asking = http.post(f"/runs/{filled.names['run_held']}/release-request", data={"text": "for our paper"})
        assert asking.status_code == 303, asking.text
        with lab_client(filled.home, "runner") as runner:  # its cluster cannot start it
            waiting = RunDraft(
                id="run-waiting", app_digest=app, datasets=(DatasetVersion(dataset=DATASET, version=1),), nodes=(NODE,)
            )
            filled.names["run_waiting"] = runner.create_run(waiting).id
        delay = RunFolder(filled.home.folder("runs", "run-waiting")).delay
        delay.write_text("no-image ImagePullBackOff: Back-off pulling image", encoding="utf-8")
    filled.names |= {"running": filled.names["run_running"], "app": app, "permit": PERMIT, "node": NODE, "toy": DATASET}
