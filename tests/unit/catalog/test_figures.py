"""What the lab server tells of runs: read from what is on record, and again when that changes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from catalog.figures import Figures
from catalog.run_records import Launch, RunRecord, RunState
from catalog.store import Store, now
from datalab.settings import Compute, Organisation
from tests.unit.catalog.examples import SHA

RULES = Compute(organisations={"start-up": Organisation(kind="sme"), "university": Organisation(kind="academia")})
LAUNCH = Launch.model_construct(app="logistic", places=(), permit="p", settings={}, parameters={})


def put(store: Store, key: str, organisation: str, state: RunState, *, waited: float, lasted: float = 0) -> None:
    """Put a run on record that came ten minutes ago."""
    created = now() - timedelta(minutes=10)
    started = created + timedelta(seconds=waited) if state is not RunState.QUEUED else None
    finished = started + timedelta(seconds=lasted) if started and lasted else None
    record = RunRecord.model_construct(
        id=key,
        app_digest=SHA,
        datasets=(),
        permits=(),
        nodes=(),
        state=state,
        submitted_by="somebody",
        organisation=organisation,
        launch=LAUNCH,
        created=created,
        started=started,
        finished=finished,
        revision=1,
    )
    with store.change("somebody") as change:
        change.execute("DELETE FROM runs WHERE id = ?", [key])
        change.execute("INSERT INTO runs VALUES (?, ?)", [key, record.model_dump_json()])
        change.event("run.updated", f"run/{key}")


def told(figures: Figures) -> dict[tuple[str, ...], float]:
    text = generate_latest(figures.registry).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_runs_are_counted_by_state_and_waiting_by_class(tmp_path: Path) -> None:
    store = Store(tmp_path / "records.duckdb")
    put(store, "before", "start-up", RunState.FINISHED, waited=20, lasted=60)
    figures = Figures(store, RULES)
    said = told(figures)
    assert (said["datalab_runs", "finished"], said["datalab_runs", "queued"]) == (1, 0)
    assert (said["datalab_queue_wait_seconds_count", "sme"], said["datalab_queue_wait_seconds_sum", "sme"]) == (1, 20)
    assert said["datalab_run_seconds_sum", "finished"] == 60

    put(store, "later", "start-up", RunState.QUEUED, waited=0)
    put(store, "other", "university", RunState.RUNNING, waited=40)
    put(store, "unknown", "somebody-else", RunState.QUEUED, waited=0)
    said = told(figures)
    assert [said["datalab_queue_runs", one] for one in ("sme", "academia", "industry")] == [1, 0, 1]
    assert 600 <= said["datalab_queue_oldest_seconds", "sme"] < 660
    assert said["datalab_queue_oldest_seconds", "academia"] == 0
    assert said["datalab_queue_wait_seconds_sum", "academia"] == 40

    put(store, "later", "start-up", RunState.STOPPED, waited=100, lasted=1)
    said = told(figures)
    assert (said["datalab_runs", "stopped"], said["datalab_runs", "queued"]) == (1, 1)
    assert said["datalab_queue_wait_seconds_sum", "sme"] == 120
    assert "datalab_backup_timestamp_seconds" not in {name for name, *_ in said}
    store.close()
