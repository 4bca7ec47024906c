"""The run card: everything needed to say, later, what was done with which data under which permit."""

from __future__ import annotations

import platform
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datalab.canonical import sha256_file
from datalab.permits.permit import read_claims_unverified
from federation.bundle import App
from federation.pb import federation_pb2 as pb
from federation.run import RunSpec, flower_id
from federation.runner.watch import Watch


def run_card(
    *,
    spec: RunSpec,
    app: App,
    config: dict[str, Any],
    decisions: dict[str, pb.Decision],
    confinement: str,
    watch: Watch,
    artifacts: list[dict[str, Any]],
    started: datetime,
    finished: datetime,
    outcome: str,
    reason: str | None,
) -> dict[str, Any]:
    """Return the run card as JSON values.

    The permit's claims are written as the runner read them; the nodes, which do not trust the runner, verified them.
    """
    return {
        "run": spec.id,
        "outcome": outcome,
        "reason": reason,
        "started": started.isoformat(),
        "finished": finished.isoformat(),
        "app": {"name": app.name, "version": app.version, "sha256": spec.app_sha256, "config": config},
        "purpose": spec.purpose,
        "permit": read_claims_unverified(spec.permit).model_dump(mode="json"),
        "seed": spec.seed,
        "server_app_confined_by": confinement,
        "nodes": [
            {
                "name": place.node,
                "flower_id": flower_id(place.node),
                "identity": decisions[place.node].identity if place.node in decisions else None,
                "dataset": place.dataset,
                "version": place.version,
                "decision": _decision(decisions.get(place.node)),
            }
            for place in spec.places
        ],
        "rounds": watch.rounds,
        "traffic": watch.totals(),
        "artifacts": artifacts,
        "software": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("federated-datalab", "flwr", "numpy", "grpcio")},
        },
    }


def list_artifacts(folder: Path) -> list[dict[str, Any]]:
    """Return name, size in bytes and SHA-256 of every file that the ServerApp left in ``folder``."""
    return [
        {
            "name": path.relative_to(folder).as_posix(),
            "bytes": path.stat().st_size,
            "sha256": sha256_file(path),
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]


def _decision(decision: pb.Decision | None) -> dict[str, Any] | None:
    if decision is None:
        return None
    return {
        "code": pb.DecisionCode.Name(decision.code).removeprefix("DECISION_CODE_").lower(),
        "reason": decision.reason,
        "audit_head": {"n": decision.audit_head.number, "hash": decision.audit_head.hash},
    }
