"""Runners as jobs of Kubernetes (``federation.scheduler.manifests``), through kubectl, which knows how to sign in.

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

from datalab.errors import BadInputError, ServiceFailedError
from datalab.home import Home
from datalab.settings import Kubernetes
from federation.run import RunFolder
from federation.scheduler.commands import INTERVAL, KILLED, run
from federation.scheduler.manifests import LABELS, POLICY, job, lab_addresses, network_policy
from federation.scheduler.places import Runner
from federation.shipped import SECRET

_OURS = ",".join(f"{name}={value}" for name, value in LABELS.items())
log = structlog.get_logger()


class KubernetesPlace:
    """Hands runners to Kubernetes.

    Args:
        settings: image, volume, namespace and so on.
    """

    def __init__(self, settings: Kubernetes) -> None:
        self._settings = settings
        self._jobs = f"/apis/batch/v1/namespaces/{settings.namespace}/jobs"
        self._pods = f"/api/v1/namespaces/{settings.namespace}/pods"
        self._policies = f"/apis/networking.k8s.io/v1/namespaces/{settings.namespace}/networkpolicies"
        # What the cluster has last said of all runners' jobs, by name, and when it was asked.
        self._known: dict[str, dict[str, Any]] = {}
        self._asked = float("-inf")

    def start(self, folder: RunFolder) -> KubernetesJob:
        """Submit a runner's job; the policy that bounds what it reaches is there before it.

        Raises:
            BadInputError: the runner would be root, or there can be no such policy.
            ServiceFailedError: Kubernetes does not take it, or does not answer.
        """
        user = self._settings.user or os.geteuid()
        if user == 0:
            raise BadInputError(
                "A runner is not to be root in Kubernetes.",
                next_step="Run the lab as an ordinary user, or set user under [compute.kubernetes] to whom its "
                "files belong.",
            )
        path = folder.path.resolve()
        Home(path).log_file("runner")  # makes the folder that the log goes to
        lab = Home(path.parents[1])
        lab.secret(SECRET)  # makes the file that is mounted
        manifest = job(path, folder.read_spec(), self._settings, user=user, group=os.getegid() or user)
        self._bound(network_policy(lab_addresses(lab)))
        made = self._ask("create", self._jobs, body=manifest, fieldValidation="Strict")
        name = json.loads(made)["metadata"]["name"]
        log.info("job submitted", run=path.name, job=name)
        return KubernetesJob(self, name)

    def forget(self, runner: Runner) -> None:
        """Remove the job: what there is to know of it is known."""
        assert isinstance(runner, KubernetesJob), "it was started here"
        self.delete(runner.name, "Background")

    def leave(self, runner: Runner) -> None:
        """Let it go on: a job does not need this process, and its run is in its own hands."""

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
    """A runner's job."""

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
        """Delete the job, which stays until its pod is gone: the runner gets SIGTERM, and some seconds to end."""
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
