"""What Kubernetes is given for a part of the lab: its job, and the network policy of all; nothing secret is in either.

A part finds its one-time token, then its key, in its own folder, and what it needs to put a run on record, or to read
what was published, in files of the lab's home: of the volume, it sees those and no others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from datalab.errors import BadInputError, NotFoundError
from datalab.home import Home
from datalab.settings import Kubernetes
from federation.run import RunFolder
from federation.scheduler.places import Part
from federation.shipped import SECRET

LABELS = {
    "app.kubernetes.io/part-of": "datalab",
    "app.kubernetes.io/managed-by": "datalab-scheduler",
}
POLICY = "datalab-runners"
KEPT_SECONDS = 3600
"""How long a job that has ended stays, should the scheduler be away."""
GRACE_SECONDS = 30
LAB_SECRETS = {
    "runner": ("token-runner", "s3-runner-access", "s3-runner-secret", SECRET),
    "node": ("token-compute", "s3-compute-access", "s3-compute-secret"),
}
"""What a part needs of the lab's home besides the addresses in ``run``: to record a run and ship its journal, or to
read what was published.
"""
_SCRATCH = "/tmp"  # noqa: S108 - the container's own


def lab_secrets(part: Part) -> tuple[str, ...]:
    """Return the names of the lab's secrets that a part is shown; none for a run that nobody puts on record.

    Each has to be there before its pod: Kubernetes would make a folder of its name.
    """
    if part.kind == "runner" and RunFolder(part.home).read_spec().lab_home is None:
        return ()
    return LAB_SECRETS[part.kind]


def job(part: Part, settings: Kubernetes, *, secrets: Sequence[str], user: int, group: int) -> dict[str, Any]:
    """Return the job (``batch/v1``) of a part.

    Args:
        part: of the lab; its home has the same path in the container.
        settings: image, volume and so on.
        secrets: names of the lab's secrets that it is shown.
        user: id of the user that it runs as, not root's.
        group: id of its group.

    Raises:
        BadInputError: Kubernetes cannot mount such a path.
    """
    command = ["python", "-P", "-m", part.module, "--home", str(part.home)]
    # The log goes where it is looked for; the part takes the shell's place, so that signals reach it.
    logged = ["/bin/sh", "-c", 'umask 077; exec "$@" >>"$0" 2>&1', str(part.home / "log" / f"{part.kind}.log")]
    named = part.name if part.kind == "runner" else f"node-{part.name}"
    labels = {
        **LABELS,
        "app.kubernetes.io/name": f"datalab-{part.kind}",
        "datalab/run" if part.kind == "runner" else "datalab/node": part.name,
    }
    container: dict[str, Any] = {
        "name": part.kind,
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
        "volumeMounts": [*_mounts(part, settings, secrets), {"name": "scratch", "mountPath": _SCRATCH}],
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
        "metadata": {"generateName": f"{named[:50]}-", "labels": labels},
        "spec": {
            "backoffLimit": 0,  # it is the scheduler that starts a part again
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": round(settings.hours * 3600),
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


_ENVIRONMENT = {"HOME": _SCRATCH, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}


def _mounts(part: Part, settings: Kubernetes, secrets: Sequence[str]) -> Iterable[dict[str, Any]]:
    home = part.lab.path
    if ":" in str(part.home):
        raise BadInputError("Kubernetes mounts no path with a colon.", where=str(part.home))
    seen = [(str(part.home.relative_to(home)), False)]
    if secrets:
        seen += [("run", True), *((f"secrets/{name}", True) for name in secrets)]
    for name, read_only in seen:
        yield {
            "name": "home",
            "mountPath": str(home / name),
            "subPath": str(PurePosixPath(settings.folder) / name),
            "readOnly": read_only,
        }


def network_policy(addresses: Iterable[tuple[str, int]]) -> dict[str, Any]:
    """Return the policy (``networking.k8s.io/v1``) of all parts: nobody reaches them, and they reach the lab alone.

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
