"""What stands in for a Kubernetes cluster: none is to be had here. The kubectl that speaks to it is the real one.

A small server takes jobs and network policies as the API server does, and runs each job's one container as a process of
this machine: same command, same paths, no container around it. It knows the lifecycle that the Job controller and the
kubelet give a job with ``backoffLimit: 0``: conditions, exit codes, SIGTERM and SIGKILL, deletion in the foreground,
which waits for the pod. It lets do what the role in deploy/kubernetes allows, and refuses what it does not know.
"""

from __future__ import annotations

import json
import os
import secrets
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from datalab.home import Home
from federation.pki.local import create_federation, issue_gateway_certificate

NAMESPACE = "datalab"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
POLICIES = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies"
ROLE = Path(__file__).parents[2] / "deploy" / "kubernetes" / "runners.yaml"
STATUS = {403: "Forbidden", 400: "BadRequest", 401: "Unauthorized", 404: "NotFound", 409: "AlreadyExists"}


def allowed_by_role() -> dict[str, set[str]]:
    (role,) = (one for one in yaml.safe_load_all(ROLE.read_text()) if one["kind"] == "Role")
    return {one["resources"][0]: set(one["verbs"]) for one in role["rules"]}


@dataclass
class Job:
    """A job, and the process that its pod is: none while the pod cannot begin, for reasons that its status gives."""

    manifest: dict[str, Any]
    grace: float
    held: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None
    killed_at: float | None = None
    deleting: bool = False

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    @property
    def code(self) -> int | None:
        return None if self.process is None else self.process.poll()

    @property
    def over(self) -> bool:
        return self.process is None or self.code is not None

    def begin(self) -> None:
        """Start the container's process."""
        (container,) = self.manifest["spec"]["template"]["spec"]["containers"]
        environment = {one["name"]: one["value"] for one in container["env"]}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.process = subprocess.Popen(container["command"], env={"PATH": path, **environment}, cwd="/")
        self.held = {}

    def end(self, grace: float) -> None:
        """Ask the process to end, and have it killed in time."""
        if self.process is None:
            return
        if self.code is None and (self.killed_at is None or time.monotonic() + grace < self.killed_at):
            self.process.terminate()
            self.killed_at = time.monotonic() + grace

    def pass_time(self) -> None:
        if self.process is not None and self.code is None and time.monotonic() > (self.killed_at or float("inf")):
            self.process.kill()

    def shown(self) -> dict[str, Any]:
        code = self.code
        done = [] if code is None else [{"type": "Failed" if code else "Complete", "status": "True"}]
        return {**self.manifest, "status": {"active": int(code is None), "conditions": done}}

    def pod(self) -> dict[str, Any]:
        code = self.code
        shown = {"running": {}} if code is None else {"terminated": {"exitCode": code if code >= 0 else 128 - code}}
        labels = {**self.manifest["metadata"]["labels"], "batch.kubernetes.io/job-name": self.name}
        status = self.held or {"containerStatuses": [{"name": "runner", "state": shown}]}
        return {"metadata": {"labels": labels}, "status": status}


@dataclass
class Cluster:
    """The stand-in's state.

    Attributes:
        kubeconfig: for kubectl; the token in it is the only one that counts.
        policies: network policies by name.
        submitted: manifests of all jobs that it has taken.
        allowed: what may be done, by what it is done to.
        held: the status of pods from now on that cannot begin; empty while they can.
    """

    kubeconfig: Path
    token: str
    jobs: dict[str, Job] = field(default_factory=dict)
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    submitted: list[dict[str, Any]] = field(default_factory=list)
    allowed: dict[str, set[str]] = field(default_factory=allowed_by_role)
    held: dict[str, Any] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def create_job(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self.submitted.append(json.loads(json.dumps(manifest)))
        metadata = manifest["metadata"]
        metadata["name"] = f"{metadata.pop('generateName')}{secrets.token_hex(3)[:5]}"
        spec = manifest["spec"]["template"]["spec"]
        job = Job(manifest, float(spec["terminationGracePeriodSeconds"]), self.held)
        if not self.held:
            job.begin()
        self.jobs[metadata["name"]] = job
        return job.shown()

    def let_begin(self) -> None:
        """Have pods begin, those that could not among them."""
        with self.lock:
            self.held = {}
            for job in self.jobs.values():
                if job.process is None:
                    job.begin()

    def pass_time(self) -> None:
        with self.lock:
            for job in list(self.jobs.values()):
                job.pass_time()
                if job.deleting and job.over:
                    del self.jobs[job.name]


@contextmanager
def kubernetes_cluster(folder: Path) -> Iterator[Cluster]:
    """Run the stand-in; yields it, with a kubeconfig by which kubectl finds it."""
    cluster = Cluster(folder / "kubeconfig", secrets.token_urlsafe(16))
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"cluster": cluster}))
    tls, authority = _tls(folder)  # without, kubectl sends no token
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    at = {"server": f"https://127.0.0.1:{server.server_port}", "certificate-authority": str(authority)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "stand-in",
        "clusters": [{"name": "stand-in", "cluster": at}],
        "users": [{"name": "lab", "user": {"token": cluster.token}}],
        "contexts": [{"name": "stand-in", "context": {"cluster": "stand-in", "user": "lab"}}],
    }
    cluster.kubeconfig.touch(mode=0o600)
    cluster.kubeconfig.write_text(yaml.safe_dump(config))
    over = threading.Event()

    def tick() -> None:
        while not over.wait(0.05):
            cluster.pass_time()

    threads = [threading.Thread(target=server.serve_forever), threading.Thread(target=tick)]
    for one in threads:
        one.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        over.set()
        for one in threads:
            one.join()
        server.server_close()
        for job in cluster.jobs.values():
            if job.process is not None:
                job.process.kill()
                job.process.wait()


def _tls(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return what a server on loopback shows, and the file with the authority by which it is known."""
    home = Home(folder / "pki")
    create_federation(home)
    credentials = issue_gateway_certificate(home)
    for name, pem in (("key", credentials.key_pem), ("chain", credentials.chain_pem), ("ca", credentials.trust_pem)):
        (folder / f"{name}.pem").touch(mode=0o600)
        (folder / f"{name}.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    return context, folder / "ca.pem"


class _Handler(BaseHTTPRequestHandler):
    cluster: Cluster
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._handle({JOBS: self._list_jobs, PODS: self._list_pods})

    def do_POST(self) -> None:
        self._handle({JOBS: self._create_job, POLICIES: self._create_policy})

    def do_PUT(self) -> None:
        self._handle({POLICIES: self._replace_policy})

    def do_DELETE(self) -> None:
        self._handle({JOBS: self._delete_job, PODS: self._delete_pods})

    def _handle(self, known: dict[str, Any]) -> None:
        at = urlsplit(self.path)
        self.query = {name: values[0] for name, values in parse_qs(at.query).items()}
        data = self._read_body()
        collection, self.named = (at.path, "") if at.path in known else at.path.rsplit("/", 1)
        if self.headers.get("Authorization") != f"Bearer {self.cluster.token}":
            self._refuse(401)
        elif collection not in known:
            self._refuse(404)
        elif self._verb() not in self.cluster.allowed[collection.rsplit("/", 1)[1]]:
            self._refuse(403)
        else:
            self.body = json.loads(data) if data and self.command in {"POST", "PUT"} else {}
            with self.cluster.lock:
                known[collection]()

    def _verb(self) -> str:
        if self.command == "DELETE":
            return "delete" if self.named else "deletecollection"
        return {"GET": "list", "POST": "create", "PUT": "update"}[self.command]

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _list_jobs(self) -> None:
        jobs = [one.shown() for one in self.cluster.jobs.values() if self._selected(one.manifest)]
        self._answer(200, {"kind": "JobList", "apiVersion": "batch/v1", "metadata": {}, "items": jobs})

    def _list_pods(self) -> None:
        pods = [one.pod() for one in self.cluster.jobs.values() if self._selected(one.pod())]
        self._answer(200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods})

    def _create_job(self) -> None:
        if self.body["kind"] != "Job" or self.query.get("fieldValidation") != "Strict":
            self._refuse(400)
        else:
            self._answer(201, self.cluster.create_job(self.body))

    def _delete_job(self) -> None:
        job = self.cluster.jobs.get(self.named)
        if job is None:
            self._refuse(404)
            return
        job.end(job.grace)
        if self.query["propagationPolicy"] == "Background":
            del self.cluster.jobs[self.named]
        else:
            job.deleting = True
        self._answer(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def _delete_pods(self) -> None:
        for job in self.cluster.jobs.values():
            if self._selected(job.pod()):
                job.end(float(self.query["gracePeriodSeconds"]))
        self._answer(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def _create_policy(self) -> None:
        name = self.body["metadata"]["name"]
        if name in self.cluster.policies:
            self._refuse(409)
            return
        self.cluster.policies[name] = self.body
        self._answer(201, self.body)

    def _replace_policy(self) -> None:
        if self.named not in self.cluster.policies:
            self._refuse(404)
            return
        self.cluster.policies[self.named] = self.body
        self._answer(200, self.body)

    def _selected(self, item: dict[str, Any]) -> bool:
        wanted = dict(one.split("=") for one in self.query["labelSelector"].split(","))
        return bool(wanted.items() <= item["metadata"]["labels"].items())

    def _refuse(self, code: int) -> None:
        reason = STATUS[code]
        said = {"message": f"{self.path}: {reason}", "reason": reason, "code": code, "status": "Failure"}
        self._answer(code, {"kind": "Status", "apiVersion": "v1", "metadata": {}, **said})

    def _answer(self, code: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *said: object) -> None:
        """Say nothing."""
