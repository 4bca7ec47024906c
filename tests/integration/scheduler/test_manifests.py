"""What Kubernetes is given: as its schemas and its restricted profile ask, and with nothing secret in it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from datalab.errors import BadInputError, ServiceFailedError
from datalab.home import Home
from datalab.settings import Compute, Kubernetes, load_settings
from datalab.storage.access import credentials
from federation.run import RunFolder, RunPlace, RunSpec
from federation.sandbox.limits import machine_memory
from federation.scheduler.kubernetes import KubernetesPlace
from federation.scheduler.manifests import LAB_SECRETS, LABELS, job, lab_addresses, lab_secrets, network_policy
from federation.scheduler.places import Part, node_of, runner_of
from tests.support.federation import ROOT
from tests.support.kubernetes import kubernetes_cluster

IMAGE = f"registry.example.org/datalab@sha256:{'ab' * 32}"
SETTINGS = Kubernetes(image=IMAGE, claim="lab-home", folder="datalab/lab")
ROLE = ROOT / "deploy" / "kubernetes" / "runners.yaml"
VALIDATE = ROOT / ".peers" / "bin" / "kubernetes-validate"


def spec(**changes: Any) -> RunSpec:
    asked = {"id": "run-1", "app_sha256": "ab" * 32, "permit": "secret-permit", "purpose": "e-ii"}
    return RunSpec(places=(RunPlace(node="delft", dataset="toy"),), **{**asked, **changes})


RUNNER = runner_of(RunFolder(Path("/srv/lab/runs/run-1")))
NODE = node_of(Home(Path("/srv/lab")), "gpu-1")


def manifest(settings: Kubernetes = SETTINGS, part: Part = RUNNER, *, recorded: bool = False) -> dict[str, Any]:
    secrets = LAB_SECRETS[part.kind] if recorded else ()
    return job(part, settings, secrets=secrets, user=4711, group=4712)


def test_a_job_is_as_kubernetes_restricted_profile_asks() -> None:
    made = manifest()
    pod = made["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 4711,
        "runAsGroup": 4712,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert container["resources"]["limits"] == container["resources"]["requests"] == {"cpu": "2", "memory": "4Gi"}
    assert {one for volume in pod["volumes"] for one in volume} == {"name", "persistentVolumeClaim", "emptyDir"}
    assert (made["spec"]["backoffLimit"], pod["restartPolicy"]) == (0, "Never")
    assert made["spec"]["activeDeadlineSeconds"] == 7 * 24 * 3600
    assert made["spec"]["template"]["metadata"]["labels"] == {
        **LABELS,
        "app.kubernetes.io/name": "datalab-runner",
        "datalab/run": "run-1",
    }


def test_a_job_carries_nothing_secret_and_sees_of_the_lab_what_it_needs() -> None:
    made = manifest(recorded=True)
    (container,) = made["spec"]["template"]["spec"]["containers"]
    mounts = {one["mountPath"]: (one.get("subPath"), one.get("readOnly")) for one in container["volumeMounts"]}
    assert mounts == {
        "/srv/lab/runs/run-1": ("datalab/lab/runs/run-1", False),
        "/srv/lab/run": ("datalab/lab/run", True),
        "/srv/lab/secrets/token-runner": ("datalab/lab/secrets/token-runner", True),
        "/srv/lab/secrets/s3-runner-access": ("datalab/lab/secrets/s3-runner-access", True),
        "/srv/lab/secrets/s3-runner-secret": ("datalab/lab/secrets/s3-runner-secret", True),
        "/srv/lab/secrets/journals": ("datalab/lab/secrets/journals", True),
        "/tmp": (None, None),
    }
    (alone,) = manifest()["spec"]["template"]["spec"]["containers"]
    assert [one["mountPath"] for one in alone["volumeMounts"]] == ["/srv/lab/runs/run-1", "/tmp"]
    with pytest.raises(BadInputError, match="colon"):
        manifest(part=runner_of(RunFolder(Path("/srv/a:b/runs/run-1"))))


def test_a_compute_node_sees_its_own_folder_and_what_reads_what_is_published() -> None:
    made = manifest(part=NODE, recorded=True)
    (container,) = made["spec"]["template"]["spec"]["containers"]
    mounts = {one["mountPath"]: (one.get("subPath"), one.get("readOnly")) for one in container["volumeMounts"]}
    assert mounts == {
        "/srv/lab/nodes/gpu-1": ("datalab/lab/nodes/gpu-1", False),
        "/srv/lab/run": ("datalab/lab/run", True),
        "/srv/lab/secrets/token-compute": ("datalab/lab/secrets/token-compute", True),
        "/srv/lab/secrets/s3-compute-access": ("datalab/lab/secrets/s3-compute-access", True),
        "/srv/lab/secrets/s3-compute-secret": ("datalab/lab/secrets/s3-compute-secret", True),
        "/tmp": (None, None),
    }
    assert container["command"][-4:] == ["-m", "federation.node.agent", "--home", "/srv/lab/nodes/gpu-1"]
    assert made["metadata"] == {
        "generateName": "node-gpu-1-",
        "labels": {**LABELS, "app.kubernetes.io/name": "datalab-node", "datalab/node": "gpu-1"},
    }


def test_what_a_part_is_shown_of_the_lab_is_as_little_as_it_needs(tmp_path: Path) -> None:
    lab = Home(tmp_path)
    folder = RunFolder(lab.folder("runs", "run-1"))
    folder.write_spec(spec())
    assert lab_secrets(runner_of(folder)) == ()
    folder.write_spec(spec(lab_home=str(tmp_path)))
    assert lab_secrets(runner_of(folder)) == ("token-runner", "s3-runner-access", "s3-runner-secret", "journals")
    assert lab_secrets(node_of(lab, "gpu-1")) == ("token-compute", "s3-compute-access", "s3-compute-secret")
    assert credentials(lab, "compute").access_key == lab.secret("s3-compute-access")


def test_a_command_is_never_read_by_a_shell(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "a run; touch gone"
    (folder / "log").mkdir(parents=True)
    (container,) = manifest(part=runner_of(RunFolder(folder)))["spec"]["template"]["spec"]["containers"]
    command = ["echo" if one == "python" else one for one in container["command"]]
    subprocess.run(command, check=True, cwd=tmp_path)
    said = (folder / "log" / "runner.log").read_text()
    assert said == f"-P -m federation.runner --home {folder}\n"
    assert not (tmp_path / "gone").exists()


def test_runners_reach_the_lab_alone_and_nobody_reaches_them(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.announce("gateway", host="10.1.2.3", port=8443, enrolment_port=8444)
    home.announce("lab", url="http://10.1.2.4:8440")
    home.announce("object-store", endpoint="https://[fd00::5]", bucket="lab")
    made = network_policy(lab_addresses(home))["spec"]
    assert made["podSelector"] == {"matchLabels": LABELS}
    assert (made["policyTypes"], made.get("ingress")) == (["Ingress", "Egress"], None)
    allowed = {(one["to"][0]["ipBlock"]["cidr"], one["ports"][0]["port"]) for one in made["egress"]}
    assert allowed == {
        ("10.1.2.3/32", 8443),
        ("10.1.2.3/32", 8444),
        ("10.1.2.4/32", 8440),
        ("fd00::5/128", 443),
    }
    with pytest.raises(BadInputError, match="not its name"):
        network_policy([("lab.example.eu", 443)])


def test_images_are_named_by_digest_and_runners_have_one_place(tmp_path: Path) -> None:
    for bad in ("registry.example.org/datalab:latest", f"{IMAGE}0", IMAGE.upper()):
        with pytest.raises(ValidationError):
            Kubernetes(image=bad, claim="lab-home")
    with pytest.raises(ValidationError, match="slurm or of kubernetes"):
        Compute.model_validate({"slurm": {}, "kubernetes": {"image": IMAGE, "claim": "lab-home"}})
    (tmp_path / "datalab.toml").write_text(f'[compute.kubernetes]\nimage = "{IMAGE}"\nclaim = "lab-home"\n')
    read = load_settings(Home(tmp_path)).compute.kubernetes
    assert read is not None
    assert (read.namespace, read.claim) == ("datalab", "lab-home")


def test_a_runner_is_not_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(BadInputError, match="not to be root"):
        KubernetesPlace(SETTINGS).start(runner_of(RunFolder(tmp_path)))


def test_a_container_has_the_memory_of_its_control_group(tmp_path: Path) -> None:
    machine = machine_memory(tmp_path)
    (tmp_path / "memory.max").write_text("4294967296\n")
    assert machine_memory(tmp_path) == min(4 << 30, machine)
    (tmp_path / "memory.max").write_text("max\n")
    assert machine_memory(tmp_path) == machine


@pytest.mark.slow
@pytest.mark.skipif(not VALIDATE.exists(), reason="needs `make peers`")
def test_kubernetes_own_schemas_take_them(tmp_path: Path) -> None:
    sandboxed = SETTINGS.model_copy(update={"seccomp": "profiles/datalab.json"})
    shown = [manifest(recorded=True), manifest(sandboxed), manifest(sandboxed, NODE, recorded=True)]
    shown.append(network_policy([("10.1.2.3", 8443)]))
    for number, one in enumerate(shown):
        one["metadata"]["name"] = "runner"  # the server makes one; the checker has to have it
        path = tmp_path / f"{number}.yaml"
        path.write_text(yaml.safe_dump(one))
        command = [str(VALIDATE), "--strict", "--kubernetes-version", "1.34", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        path.write_text(yaml.safe_dump({**one, "spec": {**one["spec"], "bakcoffLimit": 0}}))
        assert subprocess.run(command, capture_output=True, check=False).returncode != 0
    checked = subprocess.run([VALIDATE, "--strict", ROLE], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout.count("passed")) == (0, 4), checked.stdout


@pytest.mark.slow
def test_a_cluster_that_does_not_answer_or_refuses_is_said(tmp_path: Path) -> None:
    with kubernetes_cluster(tmp_path) as cluster:
        settings = SETTINGS.model_copy(update={"kubeconfig": cluster.kubeconfig, "user": 4711})
        place = KubernetesPlace(settings)
        folder = RunFolder(Home(tmp_path / "lab").folder("runs", "run-1"))
        folder.write_spec(spec())
        cluster.kubeconfig.write_text(cluster.kubeconfig.read_text().replace(cluster.token, "another"))
        with pytest.raises(ServiceFailedError, match="Unauthorized"):
            place.start(runner_of(folder))
        assert cluster.submitted == []
    with pytest.raises(ServiceFailedError, match="kubectl failed"):
        place.start(runner_of(folder))
