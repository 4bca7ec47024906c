"""Puts what a run leaves behind into the lab's storage and catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from catalog.client import LabClient, lab_client
from catalog.run_records import Artifact, DatasetVersion, RunDraft, RunPatch, RunState
from datalab.errors import NotFoundError
from datalab.home import Home
from datalab.permits.permit import read_claims_unverified
from datalab.storage.store import connect
from federation.run import RunFolder, RunSpec
from federation.shipped import head_key


class LabRecord:
    """A run's record at the lab; without a lab (tests of the wire, benchmarks) nothing is recorded.

    Args:
        spec: the run; its ``lab_home`` says where the lab is.
    """

    def __init__(self, spec: RunSpec) -> None:
        self._spec = spec
        self._home = None if spec.lab_home is None else Home(Path(spec.lab_home))

    def start(self) -> None:
        """Record the run, as running; one that goes on after an interruption is on record already."""
        if self._home is None:
            return
        draft = RunDraft(
            id=self._spec.id,
            app_digest=self._spec.app_sha256,
            datasets=tuple(DatasetVersion(dataset=one.dataset, version=one.version) for one in self._spec.places),
            permits=(read_claims_unverified(self._spec.permit).id,),
            nodes=tuple(place.node for place in self._spec.places),
        )
        with lab_client(self._home, "runner") as lab:
            try:
                record = lab.run(self._spec.id)
            except NotFoundError:
                record = lab.create_run(draft)
            if record.state is RunState.SUBMITTED:
                lab.update_run(record.id, RunPatch(state=RunState.RUNNING), revision=record.revision)

    def finish(self, folder: RunFolder, card: dict[str, Any], *, failed: bool) -> None:
        """Store card and artifacts, and record the run's end; its journal in the store counts no more.

        Raises:
            DatalabError: the lab or its storage does not answer; the files stay in the run's folder.
        """
        if self._home is None:
            return
        store = connect(self._home, "runner")
        files = [(folder.card.name, folder.card)]
        files += [(one["name"], folder.artifacts / one["name"]) for one in card["artifacts"]]
        stored = []
        for name, path in files:
            put = store.put_file(f"runs/{self._spec.id}/{name}", path)
            assert put.sha256 is not None
            stored.append(Artifact(name=name, uri=put.uri, sha256=put.sha256, bytes=put.bytes))
        with lab_client(self._home, "runner") as lab:
            self._end(lab, RunState.FAILED if failed else RunState.FINISHED, card, tuple(stored))
        store.delete(head_key(self._spec.id))

    def _end(self, lab: LabClient, state: RunState, card: dict[str, Any], artifacts: tuple[Artifact, ...]) -> None:
        current = lab.run(self._spec.id)
        if current.state is state:  # it was recorded, and the answer was lost
            return
        patch = RunPatch(state=state, reason=card["reason"], card=card, artifacts=artifacts)
        if current.state is RunState.STOPPED:  # who stopped it has said so and why
            patch = RunPatch(card=card, artifacts=artifacts)
        lab.update_run(current.id, patch, revision=current.revision)
