"""What a run is made of, and the files of its folder; written by whoever submits it, read by its runner."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from datalab.errors import RefusedError
from datalab.home import write_atomically
from federation.app_signature import MAX_SIGNATURE
from federation.errors import RunFailedError
from federation.sandbox.limits import Limits
from federation.sandbox.removal import remove_folder

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
ConfigValue = bool | int | float | str | list[bool] | list[int] | list[float] | list[str]


COMPLETED = "completed"
"""Outcome of a run whose ServerApp has come to its end."""
FAILED = "failed"
CARD = "run-card.json"
"""Name of the run card, in a run's folder and among the files that it leaves."""


class RunPlace(BaseModel):
    """A node that takes part, and the dataset version that it trains on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    node: Slug
    dataset: Slug
    version: int = Field(default=1, ge=1)


class RunSpec(BaseModel):
    """A run as it was asked for.

    Attributes:
        app_sha256: digest of the app's bundle, ``bundle.zip`` in the run's folder.
        app_signature: signature over the app's digest, for nodes that trust its signer; empty for none.
        permit: the signed data permit (compact JWS).
        purpose: under EHDS Art. 53(1); the permit must allow it.
        config: the app's configuration for this run, over its own defaults.
        seed: every random number of the run derives from it, node by node and round by round.
        timeout: seconds to wait for the nodes' decisions.
        grace: seconds for which whoever is away is waited for: a node, before the run goes on without it; the gateway,
            before the run ends; the runner, before the nodes end their workers.
        limits: what the ServerApp may use at the lab; where they are left out, half of the machine's memory and so on.
        lab_home: where the runner finds the lab's catalog and storage; none records nothing there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Slug
    app_sha256: Digest
    app_signature: str = Field(default="", max_length=MAX_SIGNATURE)
    places: tuple[RunPlace, ...] = Field(min_length=1, max_length=10_000)
    permit: str = Field(max_length=64 << 10)
    purpose: str = Field(max_length=20)
    config: dict[str, ConfigValue] = Field(default_factory=dict)
    seed: int = Field(default=0, ge=0, lt=2**63)
    timeout: float = Field(default=60.0, gt=0)
    grace: float = Field(default=120.0, gt=0, le=3600)
    limits: Limits | None = None
    lab_home: str | None = None


def flower_id(name: str) -> int:
    """Return Flower's integer id for a name: 63 bits of its SHA-256, so that it never depends on keys or sessions."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @property
    def spec(self) -> Path:
        """What was asked for."""
        return self.path / "run.json"

    @property
    def bundle(self) -> Path:
        """The app."""
        return self.path / "bundle.zip"

    @property
    def token(self) -> Path:
        """One-time token by which the runner gets its certificate; gone once it is used."""
        return self.path / "token"

    @property
    def events(self) -> Path:
        """What happened, one JSON object a line, as it happens."""
        return self.path / "events.jsonl"

    @property
    def delay(self) -> Path:
        """Why its runner, which was started, has not begun: a word of ``Standstill``, and the cluster's own."""
        return self.path / "delay"

    @property
    def artifacts(self) -> Path:
        """What the ServerApp wrote: models, reports."""
        return self.path / "artifacts"

    @property
    def card(self) -> Path:
        """The run card, written at the end whatever the outcome."""
        return self.path / CARD

    @property
    def journal(self) -> Path:
        """Every exchange of the ServerApp with its nodes so far; gone once the run's end is on record."""
        return self.path / "journal"

    @property
    def buffers(self) -> Path:
        """Large arrays that nodes have sent, by digest; part of the journal."""
        return self.path / "buffers"

    @property
    def shipped(self) -> Path:
        """What of the journal is in object storage; the store has the same, sealed (``federation.shipped``)."""
        return self.path / "shipped.json"

    @property
    def progress(self) -> int:
        """How far the run has come, as a number that only grows: bytes of its journal."""
        return self.journal.stat().st_size if self.journal.exists() else 0

    @property
    def unfinished(self) -> bool:
        """Whether there is something left to do: the run has no card yet, or its end is not on record."""
        return self.spec.exists() and (self.journal.exists() or not self.card.exists())

    def check_resumable(self) -> None:
        """Raise RefusedError if the run has ended."""
        if not self.unfinished:
            raise RefusedError("The run has ended.", where=str(self.path), next_step="Start another run.")

    @contextmanager
    def conducting(self) -> Iterator[None]:
        """Be the one process that conducts the run; the kernel ends that with the process.

        Raises:
            RunFailedError: another one is.
            RefusedError: the run has ended.
        """
        with self._hold("runner"):
            self.check_resumable()
            yield

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Be the one process that starts the run's runner, and starts it again (raises as ``conducting``)."""
        with self._hold("keeper"):
            self.check_resumable()
            yield

    @contextmanager
    def recovering(self) -> Iterator[None]:
        """Be the one process that brings the folder back from object storage (raises RunFailedError as ``keeping``)."""
        with self._hold("keeper"):
            yield

    @property
    def conducted(self) -> bool:
        """Whether a process conducts the run now, or sees to it that one does."""
        try:
            with self._hold("keeper"), self._hold("runner"):
                return False
        except RunFailedError:
            return True

    @contextmanager
    def _hold(self, part: str) -> Iterator[None]:
        with (self.path / f"{part}.lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunFailedError(
                    "The run is being conducted already.", where=str(self.path), next_step="Watch it; it has a process."
                ) from None
            yield

    def forget_journal(self) -> None:
        """Remove the journal of a run whose end is on record: nobody needs the nodes' single replies any more."""
        remove_folder(self.buffers)
        self.shipped.unlink(missing_ok=True)
        self.journal.unlink()

    def read_spec(self) -> RunSpec:
        """Return what was asked for."""
        return RunSpec.model_validate_json(self.spec.read_bytes())

    def read_card(self) -> dict[str, Any]:
        """Return the run card."""
        card: dict[str, Any] = json.loads(self.card.read_bytes())
        return card

    def read_delay(self) -> str:
        """Return why its runner has not begun; "" where nothing is known."""
        try:
            return self.delay.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def write_spec(self, spec: RunSpec) -> None:
        """Write what is asked for."""
        write_atomically(self.spec, spec.model_dump_json(indent=2).encode())
