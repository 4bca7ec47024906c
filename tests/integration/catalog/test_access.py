"""From the request to the permit and its revocation, over HTTP, by the client and by the command line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from catalog.access.client import AccessClient
from catalog.access.records import AccessRequest, Kind, ProjectDraft, RequestContent, RequestDraft, ResultDraft, Terms
from catalog.access.transitions import State
from catalog.client import lab_client
from catalog.errors import ConflictError, NotPermittedError
from catalog.permits import STEWARDS
from catalog.records import Role
from datalab.__main__ import cli
from datalab.errors import BadInputError, NotFoundError
from datalab.home import Home
from datalab.permits.keys import PRIVATE_FILE, generate_key, key_id, load_private_key, write_key_pair
from datalab.permits.lists import FOLDER, RevocationFiles
from datalab.permits.permit import sign_permit
from datalab.permits.revocation import sign_revocations
from tests.support.pages import deciding_token, settle
from tests.unit.access.test_request_states import COMPLETE
from tests.unit.catalog.examples import anonymous, draft

PEOPLE = {
    "rosa": (Role.RESEARCHER, "start-up"),
    "rudi": (Role.RESEARCHER, "start-up"),
    "olaf": (Role.RESEARCHER, "other"),
    "stella": (Role.STEWARD, "gbsg"),
    "anton": (Role.ACCESS_BODY, "hdab"),
    "anna": (Role.ACCESS_BODY, "hdab"),
}


@dataclass(frozen=True)
class Setting:
    """A lab with people, datasets and the keys of who decides."""

    url: str
    tokens: dict[str, Path]
    keys: dict[str, Path]

    def of(self, name: str) -> AccessClient:
        return AccessClient(self.url, self.tokens[name].read_text())

    def run(self, name: str, *arguments: str) -> Result:
        command = ["access", *arguments, "--lab", self.url, "--token-file", str(self.tokens[name])]
        return CliRunner().invoke(cli, command, catch_exceptions=False)


@pytest.fixture(scope="module")
def setting(catalog_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Setting:
    folder, pins = tmp_path_factory.mktemp("people"), catalog_home.folder("permit-keys")
    (pins / STEWARDS).mkdir()
    keys, tokens = {}, {}
    for name, pin in (("body", pins / "hdab.jwk"), ("steward", pins / STEWARDS / "gbsg.jwk")):
        (folder / name).mkdir()
        keys[name], public = write_key_pair(generate_key(), folder / name)
        pin.write_bytes(public.read_bytes())
    with lab_client(catalog_home, "operator") as client:
        for name, (role, organisation) in PEOPLE.items():
            tokens[name] = folder / f"{name}.token"
            tokens[name].write_text(deciding_token(catalog_home, settle(catalog_home, name, role, organisation)))
        client.register_dataset(draft())
        client.register_dataset(draft(id="sensitive", two_people=True))
        client.register_dataset(anonymous(id="weather", theme="ENVI", access="restricted"))
    return Setting(catalog_home.address("lab")["url"], tokens, keys)


@pytest.fixture
def rosa(setting: Setting) -> Iterator[AccessClient]:
    with setting.of("rosa") as client:
        yield client


def begin(client: AccessClient, **changes: Any) -> AccessRequest:
    project = client.create_project(ProjectDraft(title="Recurrence", people=("rudi",)))
    return client.create_request(RequestDraft.model_validate({**COMPLETE, "project": project.id, **changes}))


def test_a_draft_is_kept_whatever_it_lacks_and_an_error_names_each_field(setting: Setting, rosa: AccessClient) -> None:
    made = begin(rosa, aim="", months=None)
    with pytest.raises(BadInputError, match=r"aim: Fill this in\.; months: Fill this in\."):
        rosa.submit_request(made)
    content = RequestContent.model_validate(COMPLETE)
    edited = rosa.edit_request(made, content)
    with pytest.raises(ConflictError, match="revision 2, not 1"):
        rosa.edit_request(made, content)
    for name in ("anton", "stella", "olaf"):
        with setting.of(name) as other, pytest.raises(NotFoundError):
            other.request(made.id)
    sent = rosa.submit_request(edited)
    assert (sent.state, sent.holders, sent.steward_of) == (State.SUBMITTED, ("gbsg",), None)
    with setting.of("stella") as stella, setting.of("anton") as anton, setting.of("olaf") as olaf:
        assert stella.request(made.id) == anton.request(made.id) == sent
        assert sent in anton.requests(states=[State.SUBMITTED])
        assert olaf.requests() == []
        with pytest.raises(NotPermittedError, match="for its decider"):
            stella.approve_request(sent, Terms(until=(datetime.now(UTC) + timedelta(days=9)).date()))
        back = stella.return_request(sent, "Say more about safeguards.")
        assert (back.state, back.thread[-1].text) == (State.RETURNED, "Say more about safeguards.")
        with pytest.raises(ConflictError, match="is returned; to return it"):
            stella.return_request(back, "Again.")


def test_two_people_decide_on_the_command_line_and_one_revokes(
    setting: Setting, rosa: AccessClient, tmp_path: Path, catalog_home: Home
) -> None:
    described = tmp_path / "request.toml"
    described.write_text(
        'project = "Follow-up"\npurpose = "e-ii"\ndatasets = ["sensitive"]\npeople = ["rosa", "rudi"]\nmonths = 12\n'
        'aim = "A model"\nwhy_personal = "Rows"\nsafeguards = "Aggregates"\nethics = "Board"\nundertaken = true\n'
    )
    asked = setting.run("rosa", "request", str(described))
    key = re.search(r"(request-[0-9a-f]{10}) is submitted", asked.output)
    assert key is not None, asked.output
    assert key[1] in setting.run("anton", "list", "--state", "submitted").output
    signer = ["--key", str(setting.keys["body"])]
    first = setting.run("anton", "approve", key[1], "--condition", "Results are published.", *signer)
    assert "second person" in first.output
    second = setting.run("anna", "approve", key[1], *signer)
    granted = re.search(r"(permit-[0-9a-f]{10}) is granted", second.output)
    assert granted is not None, second.output
    permit = rosa.permit(granted[1])
    assert permit.claims.conditions == ("Results are published.",)
    assert (permit.claims.data_user, permit.claims.people) == ("start-up", ("rosa", "rudi"))
    with setting.of("olaf") as olaf, pytest.raises(NotFoundError):
        olaf.permit(permit.id)
    rosa.add_result(permit.id, ResultDraft.model_validate({"title": "A paper", "url": "https://doi.org/10.1/x"}))

    revoked = setting.run("anna", "revoke", permit.id, *signer)
    assert "list of 1 revoked permits is published" in revoked.output
    public = setting.keys["body"].with_name(PRIVATE_FILE.replace("private", "public"))
    out = tmp_path / "revocations.jws"
    fetched = CliRunner().invoke(
        cli,
        ["access", "fetch-revocations", "--lab", setting.url, "--key", str(public), "--out", str(out)],
        catch_exceptions=False,
    )
    assert fetched.output.startswith("1 revoked as of")
    with httpx.Client(base_url=f"{setting.url}/api/v1", trust_env=False) as http:
        listed = http.get("/register").json()
    (entry,) = [one for one in listed if one["id"] == permit.id]
    assert (entry["state"], entry["results"]) == ("revoked", ["A paper https://doi.org/10.1/x"])
    assert not {"rosa", "rudi", "anna", "anton"} & set(re.findall(r"\w+", str(entry)))
    with lab_client(catalog_home, "operator") as operator:
        did = [(one.actor, one.action) for one in operator.events() if one.subject == f"request/{key[1]}"]
        assert operator.verify_events().broken_at is None
    assert did == [
        ("rosa", "request.created"),
        ("rosa", "request.submitted"),
        ("anton", "request.endorsed"),
        ("anna", "request.approved"),
        ("anna", "request.granted"),
    ]


def test_a_list_of_revoked_permits_must_name_them_all_and_be_by_a_pinned_key(
    setting: Setting, catalog_home: Home
) -> None:
    with setting.of("anton") as anton:
        due = anton.revoked()
        moment = datetime.now(UTC)

        body = load_private_key(setting.keys["body"])
        assert due
        with pytest.raises(NotPermittedError, match="leaves out"):
            anton.publish_revoked(sign_revocations([], body, issued=moment))
        with pytest.raises(NotPermittedError, match="is pinned here"):
            anton.publish_revoked(sign_revocations(due, generate_key(), issued=moment))
        with pytest.raises(NotPermittedError, match="too old"):
            anton.publish_revoked(sign_revocations(due, body, issued=moment - timedelta(days=1)))
        later = sign_revocations(due, body, issued=moment + timedelta(minutes=1))
        anton.publish_revoked(later)
        with pytest.raises(ConflictError, match="later list"):
            anton.publish_revoked(sign_revocations(due, body, issued=moment))
        assert anton.revocations(key_id(body)) == later
    assert later in RevocationFiles(catalog_home.path / FOLDER).tokens(), "where the gateway finds it"


def test_a_steward_gives_a_statistic_and_the_register_shows_it(setting: Setting, rosa: AccessClient) -> None:
    made = begin(
        rosa, kind=Kind.STATISTIC, datasets=("weather",), people=(), months=None, aim="Mean rainfall by region, 2020"
    )
    sent = rosa.submit_request(made)
    with setting.of("stella") as stella:
        approved = stella.approve_request(sent, Terms())
        assert (approved.state, approved.claims) == (State.APPROVED, None)
        with pytest.raises(ConflictError, match="for a statistic"):
            stella.grant(approved, "a.b.c")
        assert stella.answer_request(approved, "North 801 mm, south 640 mm.").state is State.ANSWERED
        (entry,) = [one for one in stella.register() if one.id == made.id]
    assert (entry.results, entry.state) == (("North 801 mm, south 640 mm.",), "answered")


def test_a_rejected_and_a_withdrawn_request_are_over(setting: Setting, rosa: AccessClient) -> None:
    sent = rosa.submit_request(begin(rosa))
    rejected = setting.run("anton", "reject", sent.id, "--reason", "Anonymous data would do.")
    assert rejected.output == f"{sent.id} is rejected.\n"
    with pytest.raises(ConflictError, match="is rejected"):
        rosa.withdraw_request(rosa.request(sent.id))
    assert setting.run("rosa", "withdraw", begin(rosa).id).output.endswith("is withdrawn.\n")


def test_a_signature_by_the_wrong_body_grants_nothing(setting: Setting, rosa: AccessClient) -> None:

    sent = rosa.submit_request(begin(rosa))
    with setting.of("anton") as anton:
        approved = anton.approve_request(sent, Terms(until=(datetime.now(UTC) + timedelta(days=9)).date()))
        assert approved.claims is not None
        token = sign_permit(approved.claims, load_private_key(setting.keys["steward"]))
        with pytest.raises(NotPermittedError, match="not trusted"):
            anton.grant(approved, token)
        assert anton.request(sent.id).state is State.APPROVED
