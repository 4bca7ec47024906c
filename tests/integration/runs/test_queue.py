"""Runs through the lab server, its queue and its scheduler, over real processes."""

from __future__ import annotations

import time

import pytest

from catalog.client import LabClient, lab_client
from catalog.errors import NotPermittedError
from catalog.progress import Progress
from catalog.records import AccountDraft, Role
from catalog.run_records import LaunchPlace, RunState
from datalab.canonical import sha256_hex
from datalab.errors import BadInputError
from tests.integration.runs.conftest import PERMIT, Lab
from tests.support.federation import DATASET
from tests.support.pages import settle, signed_in, text_of
from tests.support.waiting import wait_until


def watch(client: LabClient, run: str, until: str = "over") -> Progress:
    """Follow a run to its end, or until its first round is there."""
    found = client.run_progress(run)
    while not found.over and not (until == "round" and found.rounds):
        found = client.run_progress(run, seen=found.seen, wait=10)
    return found


def test_a_dry_run_says_for_each_site_what_speaks_against_it(lab: Lab) -> None:
    good = lab.rosa.dry_run(lab.launch())
    assert good.first_problem is None
    (site,) = good.sites
    assert (site.node, site.version) == ("amsterdam", 1)
    assert {one.name: one.holds for one in site.clauses} == {
        "permit": True, "policy": None, "node": True, "schema": True
    }  # fmt: skip
    assert good.cost is not None
    assert (good.cost.places, good.cost.quota, good.cost.waits) == (1, None, False)
    many = lab.rosa.dry_run(lab.launch(places=[LaunchPlace(dataset=DATASET)] * 17))
    assert "It needs 17 node places, and the lab has 16." in many.problems
    bad = lab.rosa.dry_run(
        lab.launch(purpose="a", places=[LaunchPlace(dataset="nowhere"), LaunchPlace(dataset=DATASET)])
    )
    assert "not for a" in bad.problems[0]
    assert [one.holds for one in bad.sites[0].clauses] == [False]
    with pytest.raises(NotPermittedError, match="not for a"):
        lab.rosa.submit_run(lab.launch(purpose="a"))
    with pytest.raises(BadInputError, match="no parameter loops"):
        lab.rosa.dry_run(lab.launch(parameters={"loops": 1}))


def test_a_run_is_queued_started_watched_and_leaves_its_files(lab: Lab) -> None:
    run = lab.rosa.submit_run(lab.launch(seed=7))
    assert (run.state, run.submitted_by, run.organisation) == (RunState.QUEUED, "rosa", "start-up")
    done = watch(lab.rosa, run.id)
    assert (done.state, done.reason) == (RunState.FINISHED, None)
    assert [(one.number, one.loss) for one in done.rounds] == [(1, 1.0), (2, 2.0)]
    (node,) = done.nodes
    assert (node.name, node.replies, node.errors) == ("amsterdam", 4, 0)
    for way in ("bytes_down", "bytes_up"):
        assert getattr(node, way) == sum(getattr(one, way) for one in done.rounds) > 0
    record = lab.rosa.run(run.id)
    assert record.card is not None
    assert record.card["seed"] == 7
    assert {one.name for one in record.artifacts} == {"run-card.json", "model.npy"}
    model = next(one for one in record.artifacts if one.name == "model.npy")
    assert sha256_hex(lab.rosa.download_artifact(run.id, "model.npy")) == model.sha256


def test_a_cancelled_run_is_over_at_its_node_within_two_seconds(lab: Lab) -> None:
    run = lab.rosa.submit_run(lab.launch(rounds=100_000))
    watch(lab.rosa, run.id, until="round")
    stopped = lab.rosa.cancel_run(run.id)
    told = time.time()
    assert stopped.state is RunState.STOPPED
    log = lab.federation.node_home("amsterdam").path / "audit.jsonl"
    while f'"run":"{run.id}"' not in "".join(line for line in log.read_text().splitlines() if '"run ended"' in line):
        assert time.time() - told < 2.0
    watch(lab.rosa, run.id)
    wait_until(lambda: lab.rosa.run(run.id).card is not None, "its card is on record")
    assert lab.rosa.run(run.id).reason == "It was cancelled by rosa."


def test_a_run_that_its_node_refuses_says_so(lab: Lab) -> None:
    run = lab.rosa.submit_run(lab.launch(app="logistic", rounds=1))
    done = watch(lab.rosa, run.id)
    assert done.state is RunState.FAILED
    assert "amsterdam" in (done.reason or "")


def test_another_organisations_researcher_sees_nothing_of_it(lab: Lab) -> None:
    run = lab.rosa.submit_run(lab.launch())
    with lab_client(lab.home, "operator") as operator:
        issued = operator.create_account(AccountDraft(name="rita", role=Role.RESEARCHER, organisation="works"))
    with LabClient(lab.home.address("lab")["url"], issued.token) as rita:
        for ask in (rita.run, rita.run_progress, rita.cancel_run):
            with pytest.raises(NotPermittedError, match="own organisation"):
                ask(run.id)
        assert run.id not in [one.id for one in rita.runs.all()]
        with pytest.raises(NotPermittedError, match="does not name you"):
            rita.submit_run(lab.launch())
    assert run.id in [one.id for one in lab.rosa.runs.all()]
    watch(lab.rosa, run.id)


def test_a_wrong_column_and_a_value_out_of_range_are_found_before_anything_starts(lab: Lab) -> None:
    wrong = lab.rosa.dry_run(lab.launch(app="logistic", parameters={"features": "x1,bmi"}))
    told = [one.why for one in wrong.sites[0].clauses if one.holds is False]
    assert any("no column bmi, which features names" in one for one in told)
    with pytest.raises(BadInputError, match=r"test-share is from 0\.05 to 0\.9"):
        lab.rosa.dry_run(lab.launch(app="logistic", parameters={"test-share": 1.5}))
    rufus = settle(lab.home, "rufus", Role.RESEARCHER, "start-up")
    asked = f"/launch?app=logistic&permit={PERMIT}&dataset={DATASET}"
    with signed_in(lab.home, rufus, **{"Accept-Language": "de"}) as http:
        http.timeout = 60
        begin = http.get("/launch").text
        assert "Von Ihrer Organisation eingereicht" in begin
        assert f"app={lab.app}" in begin
        review = text_of(http.get(f"/launch?app={lab.app}&permit={PERMIT}&dataset={DATASET}&step=review"))
        assert "Geschätzte Kosten" in review
        form = text_of(http.get(asked))
        assert "Zielgröße" in form
        assert "Anteil jeder Klasse, den ein Standort zurückhält. Von 0.05 bis 0.9." in form
        again = http.get(f"{asked}&step=review&p.test-share=1.5")
        assert again.status_code == 422
        assert "Das liegt nicht im Bereich." in text_of(again)
