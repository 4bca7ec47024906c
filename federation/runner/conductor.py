"""One run from its opening to its end: the ServerApp, the way to the nodes, and what is left behind."""

from __future__ import annotations

import json
import os
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import structlog

from datalab.errors import DatalabError
from datalab.home import Home, write_atomically
from federation.bundle import unpack
from federation.enrolment.client import enrol, gateway_address
from federation.errors import RunFailedError
from federation.pb import federation_pb2 as pb
from federation.pb import server_app_pb2
from federation.pki.keys import Credentials
from federation.pki.seal import OFFER, Sealer
from federation.run import COMPLETED, FAILED, RunFolder, RunSpec
from federation.runner.card import list_artifacts, run_card
from federation.runner.journal import RunJournal
from federation.runner.link import Link
from federation.runner.record import LabRecord
from federation.runner.shipping import Shipping
from federation.runner.stage import LIMITS, Stage
from federation.runner.stream import Endpoint
from federation.runner.watch import Watch
from federation.sandbox.removal import remove_folder
from federation.wire.buffers import BufferStore
from federation.wire.sealed import offer_document
from federation.wire.values import encode_config

log = structlog.get_logger()
_PROCESS_STARTED = time.time()


class Conductor:
    """Conducts one run, or goes on with it after an interruption.

    Args:
        folder: of the run.
        spec: what was asked for.
        watch: told what happens.

    Raises:
        DatalabError: the app cannot be unpacked, or the journal is not of this run.
    """

    def __init__(self, folder: RunFolder, spec: RunSpec, watch: Watch) -> None:
        self._folder = folder
        self._spec = spec
        self._watch = watch
        self._parent = os.getppid()
        self._journal = RunJournal(folder.journal, folder.spec)
        self._shipping: Shipping | None = None
        if spec.lab_home is not None:
            self._shipping = Shipping(Home(Path(spec.lab_home)), folder, lambda: self._journal.durable, watch.say)
        remove_folder(folder.path / "app")
        self._app = unpack(folder.bundle, folder.path / "app")
        self._config = {**self._app.config, **spec.config}
        self._decisions: dict[str, pb.Decision] = {}
        self._confinement = ""

    def conduct(self) -> None:
        """Conduct the run to its end, and put that on record.

        Raises:
            DatalabError: the run did not complete, or the lab does not answer.
        """
        record = LabRecord(self._spec)
        if not self._folder.card.exists():  # else only its end is not on record yet
            started = datetime.now(UTC)
            record.start()
            with self._shipping.going_on() if self._shipping else nullcontext():
                failure = self._failure()
            self._write_card(failure, started)
        self._finish(record)

    def abandon(self, why: str) -> None:
        """End a run that cannot be conducted, as failed.

        Raises:
            DatalabError: the lab does not answer.
        """
        if not self._folder.card.exists():
            self._write_card(RunFailedError(why), datetime.now(UTC))
        self._finish(LabRecord(self._spec))

    def _finish(self, record: LabRecord) -> None:
        card = self._folder.read_card()
        record.finish(self._folder, card, failed=card["outcome"] != COMPLETED)
        self._journal.close()
        self._folder.forget_journal()
        if card["outcome"] != COMPLETED:
            raise RunFailedError(card["reason"])

    def _failure(self) -> DatalabError | None:
        """Run the ServerApp to its end; return why it failed, if it did."""
        remove_folder(self._folder.artifacts)
        self._folder.artifacts.mkdir()
        try:
            self._train()
        except DatalabError as error:
            return error
        except SystemExit:
            if self._orphaned:
                raise  # nobody has asked for the run's end: it is taken up again
            return RunFailedError("The run was stopped before its end.")
        except Exception as error:  # the run's record says that it failed, whatever it was
            log.exception("the run failed", run=self._spec.id)
            return RunFailedError(f"The run failed at the lab ({type(error).__name__}); its log has the trace.")
        return None

    def _write_card(self, failure: DatalabError | None, started: datetime) -> None:
        if (start := self._journal.start) is not None:
            started = datetime.fromtimestamp(start.started, UTC)
        card = run_card(
            spec=self._spec,
            app=self._app,
            config=self._config,
            decisions=self._decisions,
            confinement=self._confinement,
            watch=self._watch,
            artifacts=list_artifacts(self._folder.artifacts),
            started=started,
            finished=datetime.now(UTC),
            outcome=FAILED if failure else COMPLETED,
            reason=str(failure) if failure else None,
        )
        write_atomically(self._folder.card, f"{json.dumps(card, indent=2)}\n".encode())

    def _train(self) -> None:
        """Run the ServerApp beside this process; what it leaves in its folder is what the run leaves behind."""
        received = BufferStore(self._folder.buffers)
        stage = Stage(
            self._spec.id,
            self._folder.path / "app",
            received.folder,
            self._folder.path / "server-app",
            self._spec.limits or LIMITS,
            Home(self._folder.path).log_file("server-app"),
            self._journal,
        )
        self._confinement = stage.confinement
        try:
            self._conduct_with(stage, received)
        finally:
            stage.close()
            stage.collect(self._folder.artifacts)

    def _conduct_with(self, stage: Stage, received: BufferStore) -> None:
        endpoint = self._endpoint()
        bundle = self._folder.bundle.read_bytes()
        link = Link(endpoint, self._opening, bundle, received, stage.outbox, self._watch.say)
        outcome = FAILED
        try:
            link.start()
            self._decisions = self._decided(link)
            start = server_app_pb2.ServerAppStart(
                server_app=self._app.server_app,
                run_id=self._spec.id,
                nodes=sorted(self._decisions),
                seed=self._spec.seed,
                run_config=encode_config(self._config),
            )
            stage.conduct(start, link, self._watch)
            if self._shipping is not None:
                self._shipping.flush()  # once they know of its end, nodes forget what they have recorded
            outcome = COMPLETED
        finally:
            if self._orphaned:
                link.drop()
            else:
                link.close(outcome)

    @property
    def _orphaned(self) -> bool:
        """Whether the process that has started this one is gone: what ends this one then is nobody's wish."""
        return os.getppid() != self._parent

    def _decided(self, link: Link) -> dict[str, pb.Decision]:
        """Return the nodes' decisions; those with which the run began, where it goes on after an interruption.

        Raises:
            RunFailedError: not every node takes part.
        """
        if (start := self._journal.start) is not None:
            self._watch.say("resumed", tasks=self._journal.known_tasks, process_started=_PROCESS_STARTED)
        else:
            self._decisions = link.decisions()
            self._check_decisions()
            start = self._journal.begin([self._decisions[name] for name in sorted(self._decisions)])
            self._watch.say("nodes", nodes=sorted(self._decisions))
        return {one.node: one for one in start.decisions}

    def _check_decisions(self) -> None:
        refused = [
            f"{name}: {one.reason}" for name, one in self._decisions.items() if one.code != pb.DECISION_CODE_ACCEPTED
        ]
        if refused:
            raise RunFailedError("Not every node takes part.", where="; ".join(sorted(refused)))

    def _endpoint(self) -> Endpoint:
        identity = self._folder.path / "identity"
        if self._folder.token.exists():
            if not Credentials.exist(identity):  # else it was interrupted before it could remove the token
                enrol(self._folder.token.read_text(encoding="ascii"), identity)
            self._folder.token.unlink()
        return Endpoint(gateway_address(identity), identity, Credentials.load(identity))

    def _opening(self, credentials: Credentials) -> pb.RunOpen:
        """Return what opens the run; each offer is signed, so that its node need not take the gateway's word for it."""
        sealer = Sealer(credentials)
        opening = pb.RunOpen(run_id=self._spec.id, timeout=self._spec.timeout, grace=self._spec.grace)
        config = encode_config(self._config)
        for place in self._spec.places:
            offer = pb.Offer(
                run_id=self._spec.id,
                app_sha256=bytes.fromhex(self._spec.app_sha256),
                app_signature=self._spec.app_signature,
                dataset=place.dataset,
                dataset_version=place.version,
                permit=self._spec.permit,
                purpose=self._spec.purpose,
                seed=self._spec.seed,
                config=config,
            )
            offer.runner_signature = sealer.seal(OFFER, offer_document(offer, place.node))
            offer.runner_chain_pem = credentials.chain_pem
            opening.places.add(node=place.node, offer=offer)
        return opening
