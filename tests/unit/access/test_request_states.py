"""Whatever people do with a request, in whatever order, only what the table of transitions allows happens."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from catalog import datasets, permits, revocation
from catalog.access import decisions, projects, requests, transitions
from catalog.access.policy import Lack
from catalog.access.records import AccessRequest, Kind, PermitRecord, ProjectDraft, RequestContent, RequestDraft, Terms
from catalog.access.requests import IncompleteError
from catalog.access.transitions import PERMIT, REQUEST, Party, PermitState, State, Step
from catalog.accounts import put_account
from catalog.errors import CatalogError, ConflictError, NotPermittedError
from catalog.records import AccountDraft, DatasetPatch, Role
from catalog.store import Store, now
from catalog.web.pages import wording
from datalab.errors import BadInputError, NotFoundError, RefusedError
from datalab.permits.claims import PermitClaims
from datalab.permits.keys import generate_key, write_key_pair
from datalab.permits.permit import sign_permit
from tests.unit.catalog.examples import anonymous, draft

ROSA = AccountDraft(name="rosa", role=Role.RESEARCHER, organisation="start-up")
RUDI = AccountDraft(name="rudi", role=Role.RESEARCHER, organisation="start-up")
OTHER = AccountDraft(name="olaf", role=Role.RESEARCHER, organisation="other")
STELLA = AccountDraft(name="stella", role=Role.STEWARD, organisation="gbsg")
STRANGER = AccountDraft(name="sven", role=Role.STEWARD, organisation="erasmus")
ANTON = AccountDraft(name="anton", role=Role.ACCESS_BODY, organisation="hdab")
ANNA = AccountDraft(name="anna", role=Role.ACCESS_BODY, organisation="hdab")
AUDREY = AccountDraft(name="audrey", role=Role.AUDITOR, organisation="lab")
EVERYBODY = (ROSA, RUDI, OTHER, STELLA, STRANGER, ANTON, ANNA, AUDREY)
COMPLETE = {
    "purpose": "e-ii",
    "datasets": ("gbsg",),
    "people": ("rosa", "rudi"),
    "months": 12,
    "aim": "A model of recurrence, for better follow-up.",
    "why_personal": "Survival models need one row for each patient.",
    "safeguards": "Aggregates only.",
    "ethics": "Opinion 12/2026 of the board.",
    "undertaken": True,
}


class World:
    """A catalog with people, a dataset on which two have to agree, and pinned keys."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "records.duckdb")
        self.keys = folder / "permit-keys"
        self.body, self.steward = generate_key(), generate_key()
        (self.keys / permits.STEWARDS).mkdir(parents=True)
        for name, key in (("body.jwk", self.body), ("stewards/gbsg.jwk", self.steward)):
            _, public = write_key_pair(key, self._folder(folder, name))
            public.rename(self.keys / name)
        with self.store.change("lab") as change:
            for one in EVERYBODY:
                put_account(change, one, token_sha256="")
        datasets.register(self.store, draft(two_people=True), STELLA)
        datasets.register(self.store, draft(id="single"), STELLA)
        datasets.register(self.store, anonymous(id="weather", theme="ENVI", access="restricted"), STELLA)
        datasets.register(
            self.store, anonymous(id="soil", theme="ENVI", access="restricted", holder="erasmus"), STRANGER
        )
        datasets.register(self.store, anonymous(id="open"), STELLA)
        self.project = projects.create(self.store, ProjectDraft(title="Recurrence", people=("rudi",)), ROSA)

    @staticmethod
    def _folder(folder: Path, name: str) -> Path:
        made = folder / "made" / name
        made.mkdir(parents=True)
        return made

    def begin(self, *, kind: Kind = Kind.DATA, **changes: Any) -> AccessRequest:
        content = {**COMPLETE, "kind": kind, "project": self.project.id, **changes}
        return requests.create(self.store, RequestDraft.model_validate(content), ROSA)

    def submitted(self, **changes: Any) -> AccessRequest:
        made = self.begin(**changes)
        return requests.submit(self.store, made.id, revision=1, account=ROSA)

    def now(self, key: str) -> AccessRequest:
        return self.store.get(AccessRequest, "requests", key)

    def granted(self, **changes: Any) -> tuple[AccessRequest, PermitRecord]:
        made = self.submitted(**{"datasets": ("single",), **changes})
        approved = decisions.approve(self.store, made.id, terms(), revision=made.revision, account=ANTON)
        assert approved.claims is not None
        token = sign_permit(approved.claims, self.body)
        return decisions.grant(self.store, made.id, token, self.keys, revision=approved.revision, account=ANTON)


def terms(days: int = 300, **changes: Any) -> Terms:
    return Terms(until=(now() + timedelta(days=days)).date(), **changes)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@cache
def shared_world() -> World:
    """One world for all walks of the state machine; each walk makes a request of its own."""
    folder = tempfile.mkdtemp(prefix="datalab-requests-")
    atexit.register(shutil.rmtree, folder)
    return World(Path(folder))


class Requests(RuleBasedStateMachine):
    """Anybody tries any step at any time; a model that knows only the table says whether it must succeed."""

    def __init__(self) -> None:
        super().__init__()
        self.world = shared_world()
        self.made = self.world.begin()

    def teardown(self) -> None:
        assert self.world.store.verify_events().broken_at is None

    @rule(step=st.sampled_from(Step), days=st.sampled_from([9, 10]), pick=st.integers(0, 1))
    def whoever_may_tries(self, step: Step, days: int, pick: int) -> None:
        able = {Party.APPLICANT: (ROSA, ROSA), Party.DECIDER: (ANTON, ANNA), Party.ASSESSOR: (STELLA, ANNA)}
        self.anybody_tries(step, able[REQUEST[step].by][pick], 0, days)

    @rule(
        step=st.sampled_from(Step),
        who=st.sampled_from(EVERYBODY),
        late=st.sampled_from([0, 1]),
        days=st.sampled_from([9, 10]),
    )
    def anybody_tries(self, step: Step, who: AccountDraft, late: int, days: int) -> None:
        before = self.world.now(self.made.id)
        events = self.world.store.last_event()
        revision = before.revision - late
        allowed = (
            revision == before.revision
            and before.state in REQUEST[step].sources
            and self.is_party(REQUEST[step].by, who)
            and step is not Step.ANSWER  # data was asked for
        )
        wanted = terms(days)
        again = before.terms == wanted and who.name in {one.by for one in before.approvals}
        second = before.terms == wanted and len(before.approvals) == 1
        if step in {Step.ENDORSE, Step.APPROVE}:
            step = Step.APPROVE if second else Step.ENDORSE
            allowed = allowed and not again
        try:
            after = self.take(step, who, revision, wanted, before)
        except (CatalogError, NotFoundError, RefusedError, BadInputError):
            assert not allowed, f"{who.name} could not {step} a request that is {before.state}"
            assert self.world.now(self.made.id) == before
            assert self.world.store.last_event() == events
            return
        assert allowed, f"{who.name} could {step} a request that is {before.state}"
        assert after.state == (REQUEST[step].target or before.state)
        assert after.revision == before.revision + 1
        assert self.world.store.last_event() > events

    def take(self, step: Step, who: AccountDraft, revision: int, wanted: Terms, before: AccessRequest) -> AccessRequest:
        store, key = self.world.store, self.made.id
        if step in {Step.ENDORSE, Step.APPROVE}:
            return decisions.approve(store, key, wanted, revision=revision, account=who)
        if step is Step.GRANT:
            token = "a.b.c" if before.claims is None else sign_permit(before.claims, self.world.body)
            return decisions.grant(store, key, token, self.world.keys, revision=revision, account=who)[0]
        if step is Step.EDIT:
            content = RequestContent.model_validate(COMPLETE)
            return requests.edit(store, key, content, revision=revision, account=who)
        if step in {Step.SUBMIT, Step.WITHDRAW}:
            taken = requests.submit if step is Step.SUBMIT else requests.withdraw
            return taken(store, key, revision=revision, account=who)
        said: dict[Step, Callable[..., AccessRequest]] = {
            Step.RETURN: decisions.send_back,
            Step.REJECT: decisions.reject,
            Step.ANSWER: decisions.answer,
        }
        return said[step](store, key, "Because.", revision=revision, account=who)

    @staticmethod
    def is_party(party: Party, who: AccountDraft) -> bool:
        """The model: health data, so that the access body decides and the holder's steward assesses."""
        return {
            Party.APPLICANT: who == ROSA,
            Party.DECIDER: who in {ANTON, ANNA},
            Party.ASSESSOR: who in {ANTON, ANNA, STELLA},
            Party.CLOCK: False,
        }[party]

    @invariant()
    def a_permit_needs_two_people(self) -> None:
        request = self.world.now(self.made.id)
        decided = {State.APPROVED, State.GRANTED}
        assert (request.claims is not None) == (request.decided is not None and request.state is not State.REJECTED)
        if request.state in decided:
            assert len({one.by for one in request.approvals}) == 2
            assert len(request.approvals) == 2
        assert (request.permit is not None) == (request.state is State.GRANTED)

    @invariant()
    def drafts_are_the_applicants(self) -> None:
        request = self.world.now(self.made.id)
        for who in (ANTON, STELLA, AUDREY):
            assert self.sees(who) == (request.submitted is not None)
        for stranger in (OTHER, STRANGER):
            assert not self.sees(stranger)

    def sees(self, who: AccountDraft) -> bool:
        found = requests.find(self.world.store, who, states=list(State), limit=1000)
        return self.made.id in {one.id for one in found}


Requests.TestCase.settings = settings(
    max_examples=8, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestRequests = Requests.TestCase


def test_final_states_are_left_by_nothing_and_every_state_is_reached() -> None:
    assert {one.target for one in REQUEST.values()} | {State.DRAFT, None} == {*State, None}
    left = {source for one in REQUEST.values() if one.target is not None for source in one.sources}
    assert set(State) - left == {State.GRANTED, State.ANSWERED, State.REJECTED, State.WITHDRAWN}
    assert set(REQUEST) == set(Step)
    gone = {PermitState.EXPIRED, PermitState.REVOKED}
    assert not any(gone & one.sources for one in PERMIT.values())


def test_the_diagrams_in_the_docs_are_the_tables() -> None:
    written = (Path(__file__).parents[3] / "docs" / "access.md").read_text(encoding="utf-8")
    for made in (
        transitions.diagram(REQUEST, State.DRAFT),
        transitions.diagram(PERMIT, PermitState.ACTIVE),
    ):
        assert f"```mermaid\n{made}\n```" in written


@pytest.mark.parametrize(
    ("changes", "lacks"),
    [
        ({"aim": " "}, {"aim": Lack.EMPTY}),
        ({"purpose": None, "months": None}, {"purpose": Lack.EMPTY, "months": Lack.EMPTY}),
        ({"purpose": "c"}, {"mandate": Lack.NO_MANDATE}),
        ({"purpose": "c", "mandate": "Statistics office, contract 7"}, {}),
        ({"datasets": ()}, {"datasets": Lack.NO_DATASET}),
        ({"datasets": ("gbsg", "nowhere")}, {"datasets": Lack.UNKNOWN_DATASET}),
        ({"datasets": ("open",)}, {"datasets": Lack.OPEN_DATASET}),
        ({"datasets": ("soil", "weather")}, {"datasets": Lack.SEVERAL_HOLDERS}),
        ({"datasets": ("soil", "gbsg")}, {}),
        ({"datasets": ("weather",), "why_personal": "", "ethics": ""}, {}),
        ({"why_personal": "", "ethics": ""}, {"why_personal": Lack.EMPTY, "ethics": Lack.EMPTY}),
        ({"people": ("rosa", "olaf")}, {"people": Lack.UNKNOWN_PERSON}),
        ({"people": ("rosa", "stella")}, {"people": Lack.UNKNOWN_PERSON}),
        ({"people": ()}, {"people": Lack.EMPTY}),
        ({"undertaken": False}, {"undertaken": Lack.NOT_UNDERTAKEN}),
        ({"kind": Kind.STATISTIC, "people": (), "months": None, "why_personal": "", "safeguards": ""}, {}),
    ],
)
def test_what_a_request_lacks_is_said_field_by_field(
    world: World, changes: dict[str, Any], lacks: dict[str, Lack]
) -> None:
    made = world.begin(**changes)
    if not lacks:
        assert requests.submit(world.store, made.id, revision=1, account=ROSA).state is State.SUBMITTED
        return
    with pytest.raises(IncompleteError) as refused:
        requests.submit(world.store, made.id, revision=1, account=ROSA)
    assert refused.value.lacks == lacks
    assert world.now(made.id).state is State.DRAFT


def test_where_no_access_body_decides_the_holders_steward_does(world: World) -> None:
    made = world.submitted(datasets=("weather",))
    assert made.steward_of == "gbsg"
    with pytest.raises(NotFoundError):
        requests.read(world.store, made.id, ANTON)
    approved = decisions.approve(world.store, made.id, terms(), revision=made.revision, account=STELLA)
    assert approved.claims is not None
    assert approved.claims.issuer == "German Breast Cancer Study Group"
    for wrong in (world.body, generate_key()):
        token = sign_permit(approved.claims, wrong)
        with pytest.raises(RefusedError, match="not trusted"):
            decisions.grant(world.store, made.id, token, world.keys, revision=approved.revision, account=STELLA)
    token = sign_permit(approved.claims, world.steward)
    _, permit = decisions.grant(world.store, made.id, token, world.keys, revision=approved.revision, account=STELLA)
    assert permit.steward_of == "gbsg"
    with pytest.raises(NotPermittedError, match="Somebody else decided"):
        revocation.revoke(world.store, permit.id, STRANGER)
    assert revocation.revoke(world.store, permit.id, STELLA).revoked is not None


def test_only_exactly_what_was_decided_is_granted(world: World) -> None:
    made = world.submitted(datasets=("single",))
    approved = decisions.approve(
        world.store, made.id, terms(conditions=("Publish.",)), revision=made.revision, account=ANTON
    )
    claims = approved.claims
    assert claims is not None
    assert (claims.people, claims.data_user, claims.purpose) == (("rosa", "rudi"), "start-up", "e-ii")
    more: dict[str, Any] = {
        "expires": claims.expires + timedelta(days=1),
        "people": ("rosa", "rudi", "olaf"),
        "conditions": (),
        "datasets": (*claims.datasets, claims.datasets[0].model_copy(update={"id": "gbsg"})),
    }
    for name, value in more.items():
        token = sign_permit(PermitClaims.model_validate({**dict(claims), name: value}), world.body)
        with pytest.raises(NotPermittedError, match=f"than was decided: {name}"):
            decisions.grant(world.store, made.id, token, world.keys, revision=approved.revision, account=ANTON)
    token = sign_permit(claims, world.steward)
    with pytest.raises(RefusedError, match="not trusted"):
        decisions.grant(world.store, made.id, token, world.keys, revision=approved.revision, account=ANTON)
    token = sign_permit(claims, world.body)
    request, permit = decisions.grant(
        world.store, made.id, token, world.keys, revision=approved.revision, account=ANTON
    )
    assert (request.state, permit.claims) == (State.GRANTED, claims)


def test_two_people_approve_the_same_terms(world: World) -> None:
    made = world.submitted()
    assert made.two_people
    first = decisions.approve(world.store, made.id, terms(), revision=made.revision, account=ANTON)
    assert (first.state, first.claims) == (State.SUBMITTED, None)
    with pytest.raises(ConflictError, match="second person"):
        decisions.approve(world.store, made.id, terms(), revision=first.revision, account=ANTON)
    other = decisions.approve(world.store, made.id, terms(days=20), revision=first.revision, account=ANNA)
    assert [one.by for one in other.approvals] == ["anna"]
    done = decisions.approve(world.store, made.id, terms(days=20), revision=other.revision, account=ANTON)
    assert (done.state, [one.by for one in done.approvals]) == (State.APPROVED, ["anna", "anton"])


def test_a_second_person_is_asked_for_even_after_the_request_was_handed_in(world: World) -> None:
    made = world.submitted(datasets=("single",))
    assert not made.two_people
    datasets.update(world.store, "single", DatasetPatch(two_people=True), revision=1, account=STELLA)
    first = decisions.approve(world.store, made.id, terms(), revision=made.revision, account=ANTON)
    assert (first.state, first.two_people) == (State.SUBMITTED, True)


def test_a_renewal_starts_from_the_last_request_and_marks_the_permit(world: World) -> None:
    _, old = world.granted()
    with pytest.raises(NotPermittedError):
        requests.renew(world.store, old.id, OTHER)
    again = requests.renew(world.store, old.id, RUDI)
    assert (again.renews, again.aim, again.undertaken) == (old.id, COMPLETE["aim"], False)
    content = RequestContent(**{name: getattr(again, name) for name in RequestContent.model_fields})
    content = content.model_copy(update={"undertaken": True})
    edited = requests.edit(world.store, again.id, content, revision=1, account=RUDI)
    sent = requests.submit(world.store, again.id, revision=edited.revision, account=RUDI)
    approved = decisions.approve(world.store, sent.id, terms(), revision=sent.revision, account=ANNA)
    assert approved.claims is not None
    token = sign_permit(approved.claims, world.body)
    _, new = decisions.grant(world.store, sent.id, token, world.keys, revision=approved.revision, account=ANNA)
    found = world.store.get(PermitRecord, "permits", old.id)
    assert (found.renewed_by, permits.state(found, now())) == (new.id, PermitState.RENEWED)
    assert permits.state(found, old.claims.expires) is PermitState.EXPIRED
    revocation.revoke(world.store, old.id, ANTON)
    found = world.store.get(PermitRecord, "permits", old.id)
    assert permits.state(found, now()) is PermitState.REVOKED


def test_a_permit_is_seen_by_its_people_its_holders_and_those_who_oversee(world: World) -> None:
    _, permit = world.granted()
    for who in EVERYBODY:
        seen = [one.id for one in permits.find(world.store, who, limit=10)]
        assert bool(seen) == (who not in {OTHER, STRANGER}), who.name
        if not seen:
            with pytest.raises(NotFoundError):
                permits.read(world.store, permit.id, who)
    assert permits.find(world.store, ANTON, dataset="gbsg", limit=10) == []
    assert permits.find(world.store, ANTON, dataset="single", limit=10) == [permit]


def test_the_steward_of_other_data_cannot_have_a_permit_recorded(world: World) -> None:
    claims = world.granted()[1].claims
    for ids, key, right in (
        (("weather",), world.steward, True),
        (("soil",), world.steward, False),
        (("single",), world.steward, False),
        (("single",), world.body, True),
    ):
        made = PermitClaims.model_validate(
            {**dict(claims), "id": f"P-{ids[0]}-{right}", "datasets": [{"id": one} for one in ids]}
        )
        if right:
            assert permits.record(world.store, sign_permit(made, key), world.keys, ANTON).claims == made
        else:
            with pytest.raises(RefusedError):
                permits.record(world.store, sign_permit(made, key), world.keys, STELLA)


def test_everything_that_a_request_may_lack_is_said_in_the_pages_languages() -> None:
    assert {lack: str(lack) for lack in Lack} == wording.LACK
    assert set(wording.REQUEST_STATE) == set(State)
    assert set(PermitState) <= set(wording.PERMIT_STATE)
