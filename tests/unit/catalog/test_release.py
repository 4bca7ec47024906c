"""Releases: the checks, who sees what before one, and every step by every role in every state."""

from __future__ import annotations

import io
import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from catalog import datasets, runs
from catalog.errors import ConflictError, NotPermittedError
from catalog.records import AccountDraft, Announcement, Role
from catalog.release import releases
from catalog.release.checks import Look, Site, checks
from catalog.release.looking import look
from catalog.release.records import CheckName, Release, ReleaseDecision
from catalog.release.transitions import RELEASE, ReleaseState, ReleaseStep
from catalog.run_records import Artifact, DatasetVersion, RunDraft, RunPatch, RunRecord, RunState
from catalog.store import Store
from datalab.errors import BadInputError
from tests.unit.catalog.examples import SHA, account, at_site, report

ROSA = AccountDraft(name="rosa", role=Role.RESEARCHER, organisation="start-up")
STELLA = AccountDraft(name="stella", role=Role.STEWARD, organisation="gbsg")
ANTON = AccountDraft(name="anton", role=Role.ACCESS_BODY, organisation="hdab")
OTHERS = (
    AccountDraft(name="olga", role=Role.OPERATOR, organisation="lab"),
    AccountDraft(name="audrey", role=Role.AUDITOR, organisation="audit"),
    AccountDraft(name="rolf", role=Role.RESEARCHER, organisation="works"),
    AccountDraft(name="other", role=Role.STEWARD, organisation="other"),
)
SITES = (Site("rotterdam", rows=400, columns=10, threshold=10), Site("berlin", rows=200, columns=10, threshold=10))


def held_run(folder: Path, **terms: object) -> Store:
    """A store with a run on personal data of ``gbsg`` that has left two files."""
    store = Store(folder / "records.duckdb")
    datasets.register(store, at_site(release=True, **terms), account())
    datasets.announce(store, "gbsg", Announcement(node="rotterdam", version=1, report=report()), account(Role.GATEWAY))
    draft = RunDraft(
        id="run-1",
        app_digest=SHA,
        datasets=(DatasetVersion(dataset="gbsg", version=1),),
        nodes=("rotterdam",),
    )
    runs.create(store, draft, ROSA)
    left = tuple(
        Artifact(name=name, uri=f"s3://lab/{name}", sha256=SHA, bytes=1) for name in ("model.npy", "run-card.json")
    )
    runner = account(Role.RUNNER)
    runs.update(store, "run-1", RunPatch(state=RunState.RUNNING), revision=1, account=runner)
    done = RunPatch(state=RunState.FINISHED, card={"rounds": []}, artifacts=left)
    runs.update(store, "run-1", done, revision=2, account=runner)
    return store


def ask(store: Store, by: AccountDraft = ROSA, *, looks: tuple[Look, ...] = ()) -> RunRecord:
    return releases.ask(store, "run-1", "for our paper", looks, {"rotterdam": 12}, by)


def decide(store: Store, step: str, by: AccountDraft, text: str = "", files: tuple[str, ...] = ()) -> RunRecord:
    revision = store.get(RunRecord, "runs", "run-1").revision
    decision = ReleaseDecision(step=ReleaseStep(step), text=text, files=files, revision=revision)
    return releases.decide(store, "run-1", decision, by)


def test_until_its_release_a_run_shows_nothing_that_its_app_has_written(tmp_path: Path) -> None:
    store = held_run(tmp_path)
    for one in (ROSA, OTHERS[0]):
        seen = runs.visible(store, "run-1", one)
        assert (seen.card, seen.artifacts) == (None, ())
        assert [(it.card, it.artifacts) for it in runs.newest(store, one, offset=0, limit=9)] == [(None, ())]
        assert [(it.card, it.artifacts) for it in runs.by_id(store, one, after="", limit=9)] == [(None, ())]
        assert runs.cancel(store, "run-1", one).artifacts == ()
        with pytest.raises(NotPermittedError, match="only once it is released"):
            releases.check_may_take(runs.whole(store, "run-1", one), "model.npy", one)
    assert len(runs.visible(store, "run-1", ANTON).artifacts) == 2  # on health data an access body decides
    releases.check_may_take(runs.whole(store, "run-1", ANTON), "model.npy", ANTON)
    with pytest.raises(NotPermittedError, match="only once it is released"):  # an auditor sees the card, and no model
        releases.check_may_take(runs.whole(store, "run-1", OTHERS[1]), "model.npy", OTHERS[1])
    ask(store)
    assert [one.id for one in releases.waiting(store, ANTON, limit=9)] == ["run-1"]
    assert releases.waiting(store, STELLA, limit=9) == []
    decide(store, "release", ANTON, "small model", ("model.npy",))
    seen = runs.visible(store, "run-1", ROSA)
    assert [one.name for one in seen.artifacts] == ["model.npy"]
    assert (seen.card, releases.is_held(seen, ROSA)) == (None, True)  # the card was not released: nor metrics, nor log
    releases.check_may_take(runs.whole(store, "run-1", ROSA), "model.npy", ROSA)
    with pytest.raises(NotPermittedError, match="was not released"):
        releases.check_may_take(runs.whole(store, "run-1", ROSA), "run-card.json", ROSA)
    decide(store, "recall", ANTON, "a mistake")
    with pytest.raises(NotPermittedError, match="only once it is released"):
        releases.check_may_take(runs.whole(store, "run-1", ROSA), "model.npy", ROSA)
    said = [one.action for one in store.find_events(subject="run/run-1", action="run.release", limit=9)]
    assert said == ["run.release-refused", "run.release-released", "run.release-asked"]
    store.close()


def test_what_an_app_says_of_its_failure_goes_with_its_card(tmp_path: Path) -> None:
    store = held_run(tmp_path)
    whole = store.get(RunRecord, "runs", "run-1")
    failed = whole.model_copy(update={"state": RunState.FAILED, "reason": "50,1;51,0;…"})
    assert releases.shown(failed, ROSA).reason == releases.WITHHELD
    assert releases.shown(failed, ANTON).reason == "50,1;51,0;…"
    lab_s_own = failed.model_copy(update={"started": None, "reason": "Its permit was revoked while it waited."})
    assert releases.shown(lab_s_own, ROSA).reason == lab_s_own.reason
    store.close()


def test_each_step_follows_the_table_and_needs_its_party_s_word(tmp_path: Path) -> None:
    store = held_run(tmp_path, theme="ECON")  # no health data: the holder's steward decides
    whole = store.get(RunRecord, "runs", "run-1")
    assert whole.release is not None
    assert whole.release.steward_of == "gbsg"
    party = {"applicant": ROSA, "decider": STELLA}
    for state, step, who in product(ReleaseState, ReleaseStep, (ROSA, STELLA, ANTON, *OTHERS)):
        run = whole.model_copy(update={"release": Release(state=state, steward_of="gbsg")})
        with store.change("test") as change:
            change.update("runs", "run-1", run)
            change.event("test", "run/run-1")
        allowed = state in RELEASE[step].sources and who is party[RELEASE[step].by]
        assert releases.may_take(run, step, who) is allowed
        expected = RELEASE[step].target if allowed else state
        try:
            if step is ReleaseStep.ASK:
                ask(store, who)
            elif step is ReleaseStep.WITHDRAW:
                releases.withdraw(store, "run-1", who)
            else:
                decide(store, step, who, "because")
        except (NotPermittedError, ConflictError):
            assert not allowed
        found = store.get(RunRecord, "runs", "run-1").release
        assert found is not None
        assert found.state is expected, (state, step, who.name)
    store.close()


def test_a_finding_needs_a_reason_and_a_file_must_be_there(tmp_path: Path) -> None:
    store = held_run(tmp_path)
    asked = ask(store, looks=(Look("model.npy", 1, known=False),))
    assert asked.release is not None
    assert {one.name for one in asked.release.failed} == {CheckName.FILE_TYPE}
    with pytest.raises(BadInputError, match="a check has found something"):
        decide(store, "release", ANTON)
    with pytest.raises(BadInputError, match=r"no file other\.bin"):
        decide(store, "release", ANTON, "fine", ("other.bin",))
    with pytest.raises(BadInputError, match="the data user reads it"):
        decide(store, "refuse", ANTON)
    stale = ReleaseDecision(step=ReleaseStep.RELEASE, text="fine", revision=asked.revision - 1)
    with pytest.raises(ConflictError, match="has changed meanwhile"):
        releases.decide(store, "run-1", stale, ANTON)
    decide(store, "release", ANTON, "looked at it")
    store.close()


def test_a_run_on_data_that_asks_for_none_needs_no_release(tmp_path: Path) -> None:
    store = Store(tmp_path / "records.duckdb")
    datasets.register(store, at_site(), account())
    datasets.announce(store, "gbsg", Announcement(node="rotterdam", version=1, report=report()), account(Role.GATEWAY))
    used = (DatasetVersion(dataset="gbsg", version=1),)
    made = runs.create(store, RunDraft(id="run-1", app_digest=SHA, datasets=used, nodes=("rotterdam",)), ROSA)
    assert made.release is None
    with pytest.raises(ConflictError, match="needs no release"):
        ask(store)
    store.close()


def seen(name: str, data: bytes) -> Look:
    return look(name, len(data), io.BytesIO(data))


def failing(*looks: Look, **examples: int) -> set[CheckName]:
    return {one.name for one in checks(looks, SITES, examples) if not one.holds}


def test_a_small_model_passes_every_check() -> None:
    model = seen("model.safetensors", save({"weights": np.zeros(9), "bias": np.zeros(1)}))
    assert (model.values, model.longest) == (10, 9)
    assert failing(model, seen("report.json", b'{"rows": 600, "auc": 0.7}'), rotterdam=300) == set()


def test_copied_rows_too_many_parameters_and_too_many_bytes_are_found() -> None:
    rows = seen("model.safetensors", save({"embedding": np.zeros((100, 200))}))
    assert failing(rows) == {CheckName.COPIED_ROWS, CheckName.PARAMETERS, CheckName.SIZE}
    assert failing(seen("rows.csv", b"age,event\n" + b"50,1\n" * 120)) == {CheckName.COPIED_ROWS}
    copied = seen("rows.npy", _npy(np.zeros((150, 2))))
    assert CheckName.COPIED_ROWS in failing(copied)
    assert CheckName.COPIED_ROWS in failing(copied, rotterdam=10**9, berlin=10**9)  # the app's own word
    assert failing(seen("hidden.json", json.dumps({"note": "x" * 5000}).encode())) == {CheckName.PARAMETERS}


def test_small_cells_are_found_where_people_are_counted() -> None:
    table = {"levels": {"counts": {"A": 40, "B": 3}}, "depth": 3}
    (found,) = [one for one in checks([seen("r.json", json.dumps(table).encode())], SITES, {}) if not one.holds]
    assert (found.name, found.found, found.limit) == (CheckName.SMALL_CELLS, 1, 10)
    assert failing(seen("t.csv", b"level,n\nA,40\nB,4\n")) == {CheckName.SMALL_CELLS}
    assert failing(berlin=9) == {CheckName.EXAMPLES}


def test_text_that_carries_numbers_counts_as_what_it_can_carry() -> None:
    for name, data in (
        ("rows.csv", b"note\n" + b"x" * 30_000),
        ("rows.json", json.dumps({"x" * 30_000: 0}).encode()),
        ("README.md", b"7" * 30_000),
    ):
        assert CheckName.PARAMETERS in failing(seen(name, data)), name

    named = [seen(f"{'7' * 200}-{number}.txt", b"") for number in range(110)]
    assert failing(*named) == {CheckName.PARAMETERS}


def _safetensors(header: dict[str, object], size: int) -> bytes:
    said = json.dumps(header).encode()
    return len(said).to_bytes(8, "little") + said + b"x" * size


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


NPY = _npy(np.zeros(1))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("model.pkl", b"\x80\x04N."),
        ("model.safetensors", b"\xff" * 40),
        ("model.safetensors", save({"w": np.zeros(2)}) + b"rows after the end"),
        ("rows.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (3,), }"),
        ("rows.npy", NPY + b"rows after the end" * 9),
        ("rows.npy", NPY.replace(b"'<f8'", b"'S99'") + b"x" * 90),
        ("model.safetensors", _safetensors({"w": {"dtype": "F64", "shape": [1], "data_offsets": [0, 4000]}}, 4000)),
        (
            "model.safetensors",
            _safetensors(
                {
                    "v": {"dtype": "F64", "shape": [-1], "data_offsets": [8, 0]},
                    "w": {"dtype": "F64", "shape": [2], "data_offsets": [0, 16]},
                },
                8,
            ),
        ),
        ("report.json", b"[" + b"1" * 4000 + b"]"),
        ("report.json", b'{"a": '),
        ("report.json", b"[" * 100_000),
        ("table.csv", b"\xff\xfe"),
    ],
)
def test_what_is_not_what_its_name_says_cannot_be_looked_into(name: str, data: bytes) -> None:
    assert not seen(name, data).known
    assert CheckName.FILE_TYPE in failing(seen(name, data))
