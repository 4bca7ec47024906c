"""The lab server is killed at each step of its writes: what it had acknowledged is there, and nothing is half there."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from catalog.client import LabClient, lab_client
from catalog.records import Dataset, DatasetPatch
from catalog.search.model import SearchQuery
from catalog.service import SERVICE
from datalab.canonical import sha256_hex
from datalab.errors import DatalabError
from datalab.home import Home
from datalab.storage.store import ObjectStore
from datalab.supervisor import Supervisor
from tests.integration.catalog.conftest import Staging, home_beside
from tests.support.killed_lab import STEPS
from tests.unit.catalog.examples import draft

ROOT = Path(__file__).parents[3]
QUICK = {"publish: lake"}


@pytest.mark.parametrize(
    "step", [step if step in QUICK else pytest.param(step, marks=pytest.mark.slow) for step in STEPS]
)
def test_what_was_acknowledged_is_there_and_nothing_is_half_there(
    step: str, lab_home: Home, tmp_path: Path, object_store: ObjectStore, staging: Staging
) -> None:
    home = home_beside(lab_home, tmp_path)
    name = f"atlas-{uuid.uuid4().hex[:8]}"
    request = staging.request(name, f"{name}-1")
    publishing = step.startswith("publish")
    with Supervisor() as first:
        first.start(SERVICE.name, "tests.support.killed_lab", home, environment={"PYTHONPATH": str(ROOT)})
        with lab_client(home, "operator") as client, lab_client(home, "pipeline") as pipeline:
            client.register_dataset(draft(id=name))
            acknowledged = edit(client, name, 4)
            (home.path / "kill-at").write_text(step)
            patch = DatasetPatch(title="unacknowledged")
            with pytest.raises(DatalabError, match="does not answer"):
                _ = (
                    pipeline.publish(name, request)
                    if publishing
                    else client.update_dataset(name, patch, revision=acknowledged.revision)
                )
    (home.path / "kill-at").unlink()
    with Supervisor() as second:
        second.start(SERVICE.name, SERVICE.module, home)
        with lab_client(home, "operator") as client, lab_client(home, "pipeline") as pipeline:
            found = client.dataset(name)
            told = [one for one in client.events() if one.subject == f"dataset/{name}" and "revision" in one.details]
            assert client.verify_events().broken_at is None
            assert [one.details["revision"] for one in told] == list(range(2, found.revision + 1))
            if found.title == "unacknowledged":
                assert (step, found.revision) == ("after a change", acknowledged.revision + 1)
            else:
                assert found == acknowledged
            assert [hit.dataset for hit in client.search(SearchQuery(text=name)).own] == [found]
            if publishing:
                happened = step not in {"publish: intent", "publish: files"}
                assert len(client.versions(name)) == happened
                assert len(list(object_store.list(f"data/{name}/"))) == happened
                version = pipeline.publish(name, request)
                assert client.versions(name) == [version]
                with object_store.open(version.files[0].key) as stored:
                    assert sha256_hex(stored.read()) == version.report.parquet_sha256
                assert list(object_store.list(f"staging/{name}/")) == []


def edit(client: LabClient, name: str, times: int) -> Dataset:
    """Change a dataset some times, and return it as it was acknowledged last."""
    dataset = client.dataset(name)
    for number in range(times):
        dataset = client.update_dataset(name, DatasetPatch(title=f"Title {number}"), revision=dataset.revision)
    return dataset
