"""A dry run tells nobody what the catalog's own pages would not tell them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog import datasets
from catalog.access.records import PermitRecord
from catalog.dry_run import _needed, _privacy, _without, check_parameters, dry_run
from catalog.launch import AppFacts, DryRun, NodeFacts, ParameterFacts, Site
from catalog.records import AccountDraft, Announcement, DatasetState, Role
from catalog.run_records import Launch, LaunchPlace
from catalog.store import Store, now
from datalab.errors import BadInputError
from tests.unit.catalog.examples import SHA, account, at_site, draft, report, version
from tests.unit.catalog.test_permits import claims

ANNA = AccountDraft(name="anna", role=Role.RESEARCHER, organisation="uni")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "records.duckdb")
    yield opened
    opened.close()


def permitted(store: Store, **changes: object) -> None:
    permit = claims(data_user="uni", people=["anna"], datasets=[{"id": "secret"}], purpose="a", **changes)
    with store.change("body") as change:
        record = PermitRecord(token="x", id=permit.id, claims=permit, recorded_by="body", created=now())
        change.insert("permits", permit.id, record)
        change.event("permit.recorded", f"permit/{permit.id}")


def asked(store: Store, by: AccountDraft) -> DryRun:
    launch = Launch(app="echo", places=(LaunchPlace(dataset="secret"),), permit="P-1")
    return dry_run(store, launch, AppFacts("echo", "1", "", SHA, {}), {}, by, None)


def test_a_draft_of_a_dataset_is_not_there_for_others(store: Store) -> None:
    permitted(store)
    datasets.register(store, at_site(id="secret"), account(), state=DatasetState.DRAFT)
    datasets.announce(
        store, "secret", Announcement(node="rotterdam", version=1, report=report()), account(Role.GATEWAY)
    )
    assert asked(store, account()).sites[0].node == "rotterdam"
    (site,) = asked(store, ANNA).sites
    assert (site.node, [one.name for one in site.clauses]) == (None, ["schema"])
    assert "no such version" in site.clauses[0].why


@pytest.mark.parametrize(
    "by", [ANNA.model_copy(update={"organisation": "other"}), ANNA.model_copy(update={"name": "al"})]
)
def test_a_permit_of_others_is_no_permit_and_says_nothing(store: Store, by: AccountDraft) -> None:
    permitted(store)
    found = asked(store, by)
    assert found.first_problem == ("The permit does not name you.", None)
    assert found.launch.purpose is None
    assert asked(store, ANNA).launch.purpose == "a"


def test_a_column_that_a_site_does_not_have_is_found_before_anything_starts() -> None:
    described = {
        "outcome": ParameterFacts(columns="one", numbers=True),
        "features": ParameterFacts(columns="several"),
        "depth": ParameterFacts(low=1, high=10),
    }
    app = AppFacts("app", "1.0.0", "", SHA, {"outcome": "event", "features": "", "depth": 3}, described)
    found = _without(version(draft()), _needed(app, {"features": "age, bmi"}))
    assert [(one.name, one.holds) for one in found] == [("schema", False)]
    assert "no column bmi, which features names. It has: age, event." in found[0].why
    text = version(draft(), columns=[{"name": "event", "type": "string", "unit": None, "description": "event"}])
    assert ["does not hold numbers" in one.why for one in _without(text, _needed(app, {}))] == [True]
    with pytest.raises(BadInputError, match=r"depth is from 1 to 10, and 11 is not"):
        check_parameters(app, {"depth": 11})


def test_a_site_s_privacy_budget_is_compared_with_what_a_run_spends() -> None:
    site = Site(dataset="gbsg", version=1, node="berlin", clauses=())
    nodes = {"berlin": NodeFacts("berlin", "b", "DE", connected=True, privacy_left={"gbsg": 0.5})}
    told = {spends: _privacy(site, nodes, spends) for spends in (0, 0.5, 0.6)}
    assert [(one.holds if one else None) for one in told.values()] == [True, True, False]
    assert "spends 0.6, and 0.5 is left" in (told[0.6].why if told[0.6] else "")
    unknown = _privacy(site, {}, 0.6)
    assert unknown is not None
    assert unknown.holds is None
    assert _privacy(site, {}, None) is None
