"""``python -m federation.runner --home RUN_FOLDER``: conducts one run, from ``run.json`` to its run card."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import structlog

from datalab.errors import DatalabError
from datalab.home import Home, write_atomically
from datalab.service import run_service
from federation.bundle import unpack
from federation.enrolment.client import enrol, gateway_address
from federation.errors import RunFailedError
from federation.pb import federation_pb2 as pb
from federation.pb import server_app_pb2
from federation.pki.keys import Credentials
from federation.pki.seal import OFFER, Sealer
from federation.run import COMPLETED, RunFolder, RunSpec
from federation.runner.card import list_artifacts, run_card
from federation.runner.link import Link
from federation.runner.record import LabRecord
from federation.runner.stage import LIMITS, Stage
from federation.runner.stream import Endpoint
from federation.runner.watch import Watch
from federation.wire.buffers import BufferStore
from federation.wire.protocol import CACHE_BYTES
from federation.wire.sealed import offer_document
from federation.wire.values import encode_config

log = structlog.get_logger()


def main(home: Home) -> None:
    """Conduct the run in ``home``.

    Raises:
        DatalabError: a node refused, the app failed, or the lab could not be reached; the run card says so too.
    """
    folder = RunFolder(home.path)
    spec = folder.read_spec()
    watch = Watch(folder.events)
    home.announce("runner", run=spec.id)
    try:
        _Conductor(folder, spec, watch).conduct()
        watch.say("end", outcome=COMPLETED)
    except DatalabError as error:
        watch.say("end", outcome="failed", reason=str(error))
        raise
    finally:
        watch.close()
        home.withdraw("runner")


class _Conductor:
    def __init__(self, folder: RunFolder, spec: RunSpec, watch: Watch) -> None:
        self._folder = folder
        self._spec = spec
        self._watch = watch
        self._app = unpack(folder.bundle, folder.path / "app")
        self._config = {**self._app.config, **spec.config}
        self._decisions: dict[str, pb.Decision] = {}
        self._confinement = ""

    def conduct(self) -> None:
        started = datetime.now(UTC)
        self._folder.artifacts.mkdir(exist_ok=True)
        record = LabRecord(self._spec)
        record.start()
        failure: DatalabError | None = None
        try:
            self._train()
        except DatalabError as error:
            failure = error
        except (SystemExit, KeyboardInterrupt):
            failure = RunFailedError("The run was stopped before its end.")
        except Exception as error:  # the run's record says that it failed, whatever it was
            log.exception("the run failed", run=self._spec.id)
            failure = RunFailedError(f"The run failed at the lab ({type(error).__name__}); its log has the trace.")
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
            outcome="failed" if failure else COMPLETED,
            reason=str(failure) if failure else None,
        )
        write_atomically(self._folder.card, f"{json.dumps(card, indent=2)}\n".encode())
        try:
            record.finish(self._folder, card, failed=failure is not None)
        except DatalabError as error:
            log.error("the run's end is not on record at the lab", run=self._spec.id, error=str(error))
            failure = failure or error
        if failure is not None:
            raise failure

    def _train(self) -> None:
        """Run the ServerApp beside this process; what it leaves in its folder is what the run leaves behind."""
        received = BufferStore(self._folder.path / "buffers", CACHE_BYTES)
        stage = Stage(
            self._spec.id,
            self._folder.path / "app",
            received.folder,
            self._folder.path / "server-app",
            self._spec.limits or LIMITS,
            Home(self._folder.path).log_file("server-app"),
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
        link = Link(endpoint, self._opening, bundle, received, stage.outbox)
        outcome = "failed"
        try:
            self._decisions = link.open()
            self._check_decisions()
            self._watch.say("nodes", nodes=sorted(self._decisions))
            start = server_app_pb2.ServerAppStart(
                server_app=self._app.server_app,
                run_id=self._spec.id,
                nodes=sorted(self._decisions),
                seed=self._spec.seed,
                run_config=encode_config(self._config),
            )
            stage.conduct(start, link, self._watch)
            outcome = COMPLETED
        finally:
            link.close(outcome)

    def _check_decisions(self) -> None:
        refused = [
            f"{name}: {one.reason}" for name, one in self._decisions.items() if one.code != pb.DECISION_CODE_ACCEPTED
        ]
        if refused:
            raise RunFailedError("Not every node takes part.", where="; ".join(sorted(refused)))

    def _endpoint(self) -> Endpoint:
        identity = self._folder.path / "identity"
        token = self._folder.token.read_text(encoding="ascii")
        enrol(token, identity)
        self._folder.token.unlink()
        return Endpoint(gateway_address(identity), Credentials.load(identity))

    def _opening(self, credentials: Credentials) -> pb.RunOpen:
        """Return what opens the run; each offer is signed, so that its node need not take the gateway's word for it."""
        sealer = Sealer(credentials)
        opening = pb.RunOpen(run_id=self._spec.id, timeout=self._spec.timeout)
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


if __name__ == "__main__":
    run_service(main)
