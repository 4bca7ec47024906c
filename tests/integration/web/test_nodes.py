"""The pages of the nodes over a real gateway: from an invitation to a revocation that cuts a live stream."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from catalog.client import lab_client
from catalog.records import Role
from catalog.service import SERVICE
from datalab.home import Home
from datalab.supervisor import Supervisor
from federation.enrolment.client import enrol
from federation.pki.keys import Credentials
from tests.support.federation import Federation
from tests.support.pages import NEEDED, Person, give_second_factor, settle, signed_in, text_of
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def federation(lab_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A gateway, and the lab server in the same home."""
    with Supervisor() as own:
        made = Federation(tmp_path_factory.mktemp("federation"), own)
        with (made.lab.path / "datalab.toml").open("a", encoding="utf-8") as settings:
            settings.write("lab = 0\n")
        for secret in (lab_home.path / "secrets").glob("s3-*"):
            (made.lab.folder("secrets") / secret.name).write_text(secret.read_text())
        at = lab_home.address("object-store")
        made.lab.announce("object-store", endpoint=at["endpoint"], bucket=at["bucket"])
        own.start(SERVICE.name, SERVICE.module, made.lab)
        yield made


def nodes(http: httpx.Client) -> str:
    """What the page says, with a hyphen where there is nothing to say."""
    return text_of(http.get("/nodes")).replace("\N{EN DASH}", "-")


@pytest.fixture(scope="module")
def operator(federation: Federation) -> Person:
    return settle(federation.lab, "otto", Role.OPERATOR, "lab")


def test_from_an_invitation_to_a_revocation(federation: Federation, operator: Person) -> None:
    lab, form = federation.lab, {"name": "leiden", "organisation": "Leiden hospital", "country": "NL"}
    with signed_in(lab, operator) as http, ThreadPoolExecutor() as pool:
        assert "There is no node yet" in http.get("/nodes").text
        refused = http.post("/nodes/invite", data=form)
        assert (refused.status_code, NEEDED in refused.text) == (401, True)
        give_second_factor(http)
        wrong = http.post("/nodes/invite", data={**form, "name": "Not a name", "country": ""})
        assert (wrong.status_code, 'id="name-wrong"' in wrong.text) == (422, True)
        page = http.post("/nodes/invite", data=form)
        (token,) = re.findall(r"<code>([A-Za-z0-9_-]{200,})</code>", page.text)
        assert token not in http.get("/nodes").text

        enrolled = pool.submit(enrol, token, federation.folder / "leiden")
        wait_until(lambda: "The key of leiden waits" in http.get("/nodes").text, "the key has come in")
        asked = http.get("/nodes/leiden/approve")
        (key,) = set(re.findall(r"<code>([0-9a-f]{64})</code>", asked.text))
        refused = http.post("/nodes/leiden/approve", data={"key": "0" * 64})
        assert (refused.status_code, "is another one" in refused.text) == (422, True)
        assert not enrolled.done()
        told = " ".join(key[at : at + 8].upper() for at in range(0, 64, 8))
        approved = http.post("/nodes/leiden/approve", data={"key": told})
        assert approved.headers["Location"] == "/nodes?notice=node-approved"
        enrolled.result(90)
        serial = Credentials.load(federation.folder / "leiden").holder.serial
        shown = nodes(http)
        assert f"leiden Leiden hospital Netherlands ! Not connected - - - ✓ 7 days left {serial}" in shown

        assert http.post("/nodes/leiden/revoke").headers["Location"] == "/nodes?notice=node-revoked"
        assert re.search(r"leiden Leiden hospital Netherlands ✗ Revoked", nodes(http))
    with lab_client(lab, "operator") as client:
        done = [(one.actor, one.action, one.subject) for one in client.events() if one.action.startswith("node.")]
    actions = ("node.invited", "node.approved", "node.revoked")
    assert done == [("otto", action, "node/leiden") for action in actions]


def test_revoking_cuts_a_live_stream_and_others_see_health_only(federation: Federation) -> None:
    lab, reader = federation.lab, settle(federation.lab, "rita", Role.RESEARCHER, "start-up")
    federation.add_node("oslo")
    federation.wait_for("oslo")
    with signed_in(lab, reader) as http:
        seen = nodes(http)
        assert re.search(r"oslo oslo Netherlands ✓ Connected .* connected since", seen)
        assert "days left" not in seen
        assert http.get("/nodes/invite").status_code == 403
        assert http.post("/nodes/oslo/revoke").status_code == 403
    other = settle(lab, "olaf", Role.OPERATOR, "lab")
    with signed_in(lab, other) as http:
        assert re.search(r"oslo oslo Netherlands ✓ Connected .* - ✓ 7 days left", nodes(http))
        give_second_factor(http)
        http.post("/nodes/oslo/revoke")
        assert federation.processes["oslo"].wait(90) != 0  # the agent ends when its stream is cut for this
        assert re.search(r"oslo oslo Netherlands ✗ Revoked .* - - - ", nodes(http))
