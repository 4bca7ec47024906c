"""Parts of the lab as jobs of Kubernetes (``federation.scheduler.manifests``), through kubectl, which can sign in.

The lab's home lies on a volume that the cluster's nodes share.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, urlencode

import structlog

from catalog.progress import Standstill
from datalab.errors import BadInputError, ServiceFailedError
from datalab.home import Home, write_atomically
from datalab.settings import Kubernetes
from federation.scheduler.commands import INTERVAL, KILLED, run
from federation.scheduler.manifests import LABELS, POLICY, job, lab_addresses, lab_secrets, network_policy
from federation.scheduler.places import Delay, Job, Part

_OURS = ",".join(f"{name}={value}" for name, value in LABELS.items())
_NAME = "kubernetes-job"
"""File in a part's home with the name of its job, for whoever comes after this process."""
_IMAGE = frozenset({"ErrImagePull", "ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName", "RegistryUnavailable"})
_BEGINNING = frozenset({"ContainerCreating", "PodInitializing"})
log = structlog.get_logger()


class KubernetesPlace:
    """Hands parts of the lab to Kubernetes.

    Args:
        settings: image, volume, namespace and so on.
    """

    def __init__(self, settings: Kubernetes) -> None:
        self._settings = settings
        self._jobs = f"/apis/batch/v1/namespaces/{settings.namespace}/jobs"
        self._pods = f"/api/v1/namespaces/{settings.namespace}/pods"
        self._policies = f"/apis/networking.k8s.io/v1/namespaces/{settings.namespace}/networkpolicies"
        # What the cluster has last said of all the lab's jobs, by name, and when it was asked.
        self._known: dict[str, dict[str, Any]] = {}
        self._asked = float("-inf")

    def start(self, part: Part) -> KubernetesJob:
        """Submit a part's job; the policy that bounds what it reaches is there before it.

        Raises:
            BadInputError: it would be root, or there can be no such policy.
            ServiceFailedError: Kubernetes does not take it, or does not answer.
        """
        user = self._settings.user or os.geteuid()
        if user == 0:
            raise BadInputError(
                f"A {part.kind} is not to be root in Kubernetes.",
                next_step="Run the lab as an ordinary user, or set user under [compute.kubernetes] to whom its "
                "files belong.",
            )
        Home(part.home).log_file(part.kind)  # makes the folder that the log goes to
        secrets = lab_secrets(part)
        for secret in secrets:
            part.lab.secret(secret)  # makes the file that is mounted
        manifest = job(part, self._settings, secrets=secrets, user=user, group=os.getegid() or user)
        self._bound(network_policy(lab_addresses(part.lab)))
        made = self._ask("create", self._jobs, body=manifest, fieldValidation="Strict")
        name = json.loads(made)["metadata"]["name"]
        write_atomically(part.home / _NAME, name.encode())
        log.info("job submitted", part=part.name, job=name)
        return KubernetesJob(self, name)

    def find(self, part: Part) -> KubernetesJob | None:
        """Return a part's job, by the name in its home."""
        path = part.home / _NAME
        return KubernetesJob(self, path.read_text(encoding="ascii")) if path.exists() else None

    def delay(self, job: Job) -> Delay | None:
        """Return why a job's container does not run, with Kubernetes' words for it."""
        assert isinstance(job, KubernetesJob), "it was started here"
        pods = json.loads(self._ask("get", self._pods, labelSelector=_pod_of(job.name)))["items"]
        if not pods:
            return Delay(Standstill.NOT_MADE)
        return _delay_of(pods[-1].get("status", {}))

    def forget(self, part: Part, job: Job) -> None:
        """Remove the job: what there is to know of it is known."""
        assert isinstance(job, KubernetesJob), "it was started here"
        self.delete(job.name, "Background")
        (part.home / _NAME).unlink(missing_ok=True)

    def leave(self, job: Job) -> None:
        """Let it go on: a job does not need this process, and what it does is in its own hands."""

    def delete(self, name: str, propagation: Literal["Foreground", "Background"]) -> None:
        """Remove a job, if it is there still; its pod is asked to end.

        Args:
            name: of the job.
            propagation: whether it stays until its pod is gone, or goes at once.

        Raises:
            ServiceFailedError: Kubernetes does not answer.
        """
        self._ask("delete", f"{self._jobs}/{quote(name)}", missing=True, propagationPolicy=propagation)

    def kill(self, name: str) -> None:
        """End a job's pod within a second or so.

        Raises:
            ServiceFailedError: Kubernetes does not answer.
        """
        self._ask("delete", self._pods, missing=True, labelSelector=_pod_of(name), gracePeriodSeconds="1")

    def look(self, name: str, since: float) -> int | None:
        """Return with what a job has ended; None while it has not.

        Args:
            name: of the job.
            since: by the monotonic clock, when it is known to have been there.

        Raises:
            ServiceFailedError: Kubernetes does not answer.
        """
        now = time.monotonic()
        if self._asked <= since or now - self._asked >= INTERVAL:
            said = json.loads(self._ask("get", self._jobs, labelSelector=_OURS))
            self._known, self._asked = {one["metadata"]["name"]: one for one in said["items"]}, now
        if (found := self._known.get(name)) is None:  # it was deleted, and its pod is gone
            return KILLED
        conditions = {one["type"] for one in found.get("status", {}).get("conditions", ()) if one["status"] == "True"}
        if "Complete" in conditions:
            return 0
        return self._exit_code(name) if "Failed" in conditions else None

    def _exit_code(self, name: str) -> int:
        """Return with what the process in a job's pod has ended, which is not 0 where the job has failed."""
        said = json.loads(self._ask("get", self._pods, labelSelector=_pod_of(name)))
        for pod in said["items"]:
            for container in pod.get("status", {}).get("containerStatuses", ()):
                if code := container.get("state", {}).get("terminated", {}).get("exitCode"):
                    return int(code)
        return KILLED

    def _bound(self, policy: dict[str, Any]) -> None:
        if not self._ask("replace", f"{self._policies}/{POLICY}", body=policy, missing=True, fieldValidation="Strict"):
            self._ask("create", self._policies, body=policy, fieldValidation="Strict")

    def _ask(
        self, verb: str, path: str, *, body: dict[str, Any] | None = None, missing: bool = False, **query: str
    ) -> str:
        """Make one request of the cluster through kubectl, and return the answer; "" where what is named is not there.

        Raises:
            ServiceFailedError: kubectl is not installed, or the cluster refuses or does not answer.
        """
        command = ["kubectl", "--request-timeout=20s"]
        if self._settings.kubeconfig is not None:
            command.append(f"--kubeconfig={self._settings.kubeconfig}")
        if self._settings.context is not None:
            command.append(f"--context={self._settings.context}")
        command += [verb, f"--raw={path}?{urlencode(query)}" if query else f"--raw={path}"]
        return run(
            command if body is None else [*command, "--filename=-"],
            "See that kubectl is on this machine, reaches the cluster, and may do this (kubectl auth can-i --list).",
            standard_input="" if body is None else json.dumps(body),
            missing="(notfound)" if missing else None,
        )


@dataclass
class KubernetesJob:
    """A part's job."""

    place: KubernetesPlace
    name: str
    returncode: int | None = None
    _made: float = field(default_factory=time.monotonic, repr=False)

    def poll(self) -> int | None:
        """Return with what it ended; None while it waits or runs, or while Kubernetes does not answer."""
        if self.returncode is None:
            try:
                self.returncode = self.place.look(self.name, self._made)
            except ServiceFailedError as error:
                log.warning("Kubernetes does not answer", job=self.name, error=str(error))
        return self.returncode

    def terminate(self) -> None:
        """Delete the job, which stays until its pod is gone: its process gets SIGTERM, and some seconds to end."""
        self.place.delete(self.name, "Foreground")

    def kill(self) -> None:
        """End it at once."""
        self.place.kill(self.name)

    def wait(self) -> int:
        """Wait until it has ended."""
        while (code := self.poll()) is None:
            time.sleep(INTERVAL)
        return code


def _pod_of(name: str) -> str:
    return f"batch.kubernetes.io/job-name={name}"


def _delay_of(pod: dict[str, Any]) -> Delay | None:
    """Return why a pod's container does not run, from its status."""
    for one in pod.get("conditions", ()):
        if one["type"] == "PodScheduled" and one["status"] == "False":
            return Delay(Standstill.NO_ROOM, one.get("message", one.get("reason", "")))
    for container in pod.get("containerStatuses", ()):
        waiting = container.get("state", {}).get("waiting")
        if waiting is None or waiting.get("reason") in _BEGINNING:
            continue
        reason = waiting.get("reason", "")
        kind = Standstill.NO_IMAGE if reason in _IMAGE else Standstill.NOT_STARTED
        return Delay(kind, f"{reason}: {waiting.get('message', '')}".rstrip(": "))
    return None
