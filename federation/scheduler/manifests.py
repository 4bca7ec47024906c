"""What Kubernetes is given for a runner: its job, and the network policy of all runners; nothing secret is in either.

The runner finds its one-time token, then its key, in its run's folder, and what it needs to put the run on record in
files of the lab's home: of the volume, it sees those and no others.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from datalab.errors import BadInputError, NotFoundError
from datalab.home import Home
from datalab.settings import Kubernetes
from federation.run import RunSpec
from federation.shipped import SECRET

LABELS = {
    "app.kubernetes.io/name": "datalab-runner",
    "app.kubernetes.io/part-of": "datalab",
    "app.kubernetes.io/managed-by": "datalab-scheduler",
}
POLICY = "datalab-runners"
KEPT_SECONDS = 3600
"""How long a job that has ended stays, should the scheduler be away."""
GRACE_SECONDS = 30
LAB_FILES = ("secrets/token-runner", "secrets/s3-runner-access", "secrets/s3-runner-secret", f"secrets/{SECRET}")
"""What a runner needs of the lab's home besides the addresses in ``run``, to record its run and ship its journal.

Each has to be there before its pod: Kubernetes would make a folder of its name.
"""
_SCRATCH = "/tmp"  # noqa: S108 - the container's own


def job(folder: Path, spec: RunSpec, settings: Kubernetes, *, user: int, group: int) -> dict[str, Any]:
    """Return the job (``batch/v1``) of a runner.

    Args:
        folder: the run's, an absolute path; it has the same one in the container.
        spec: the run's.
        settings: image, volume and so on.
        user: id of the user that the runner runs as, not root's.
        group: id of its group.

    Raises:
        BadInputError: Kubernetes cannot mount such a path.
    """
    command = ["python", "-P", "-m", "federation.runner", "--home", str(folder)]
    # The log goes where it is looked for; the runner takes the shell's place, so that signals reach it.
    logged = ["/bin/sh", "-c", 'umask 077; exec "$@" >>"$0" 2>&1', str(folder / "log" / "runner.log")]
    container: dict[str, Any] = {
        "name": "runner",
        "image": settings.image,
        "imagePullPolicy": "IfNotPresent",
        "command": [*logged, *command],
        "env": [{"name": name, "value": value} for name, value in _ENVIRONMENT.items()],
        "resources": {
            "requests": {"cpu": settings.cpu, "memory": settings.memory},
            "limits": {"cpu": settings.cpu, "memory": settings.memory},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [*_mounts(folder, spec, settings), {"name": "scratch", "mountPath": _SCRATCH}],
    }
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": user,
            "runAsGroup": group,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "home", "persistentVolumeClaim": {"claimName": settings.claim}},
            {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}},
        ],
    }
    if settings.seccomp is not None:  # bubblewrap makes a user namespace in the pod's, and mounts a /proc in it
        pod["hostUsers"] = False
        pod["securityContext"] |= {"seccompProfile": {"type": "Localhost", "localhostProfile": settings.seccomp}}
        container["securityContext"] |= {"procMount": "Unmasked"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": f"{spec.id[:50]}-", "labels": {**LABELS, "datalab/run": spec.id}},
        "spec": {
            "backoffLimit": 0,  # it is the scheduler that starts a runner again
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": round(settings.hours * 3600),
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {"metadata": {"labels": {**LABELS, "datalab/run": spec.id}}, "spec": pod},
        },
    }


_ENVIRONMENT = {"HOME": _SCRATCH, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}


def _mounts(folder: Path, spec: RunSpec, settings: Kubernetes) -> Iterable[dict[str, Any]]:
    home = folder.parents[1]
    if ":" in str(folder):
        raise BadInputError("Kubernetes mounts no path with a colon.", where=str(folder))
    seen = [(str(folder.relative_to(home)), False)]
    if spec.lab_home is not None:
        seen += [("run", True), *((name, True) for name in LAB_FILES)]
    for name, read_only in seen:
        yield {
            "name": "home",
            "mountPath": str(home / name),
            "subPath": str(PurePosixPath(settings.folder) / name),
            "readOnly": read_only,
        }


def network_policy(addresses: Iterable[tuple[str, int]]) -> dict[str, Any]:
    """Return the policy (``networking.k8s.io/v1``) of all runners: nobody reaches them, and they reach the lab alone.

    Args:
        addresses: hosts and ports of the lab's services.

    Raises:
        BadInputError: a host is a name, of which policies know nothing.
    """
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": POLICY, "labels": LABELS},
        "spec": {
            "podSelector": {"matchLabels": LABELS},
            "policyTypes": ["Ingress", "Egress"],
            "egress": [
                {"to": [{"ipBlock": {"cidr": _block(host)}}], "ports": [{"protocol": "TCP", "port": port}]}
                for host, port in sorted(set(addresses))
            ],
        },
    }


def lab_addresses(home: Home) -> list[tuple[str, int]]:
    """Return where gateway, lab server and object store listen, as far as they run."""
    found: list[tuple[str, int]] = []
    for service in ("gateway", "lab", "object-store"):
        try:
            said = home.address(service)
        except NotFoundError:
            continue
        if service == "gateway":
            found += [(said["host"], said["port"]), (said["host"], said["enrolment_port"])]
        else:
            at = urlsplit(said.get("url") or said["endpoint"])
            found.append((at.hostname or "", at.port or (443 if at.scheme == "https" else 80)))
    return found


def _block(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError as error:
        raise BadInputError(
            f"A network policy needs the address of {host}, not its name.",
            next_step="Set bind in datalab.toml to an address that the cluster reaches.",
        ) from error
    return f"{address}/{address.max_prefixlen}"
