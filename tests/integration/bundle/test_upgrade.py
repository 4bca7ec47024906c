"""A node installed from a bundle, without a network: it runs, is upgraded and rolled back, and loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from datalab import __version__
from datalab.canonical import sha256_file
from datalab.home import Home
from datalab.supervisor import Supervisor
from federation.release.closure import FLOWER_SERVER
from federation.release.install import MANIFEST
from tests.integration.bundle.conftest import LATER, PYTHON, Bundles, offline
from tests.support.federation import Federation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
NODE = "leiden"


@dataclass
class Hospital:
    """A prefix into which versions are installed, and outside it the node's home."""

    prefix: Path
    home: Home
    federation: Federation
    agents: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def datalab(self, *arguments: str, code: int = 0) -> str:
        """Run the installed ``datalab`` and return what it said."""
        command = [str(self.prefix / "current" / "bin" / "datalab"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def install(self, bundle: Path, key_sha256: str) -> None:
        done = offline(*self.install_command(bundle, key_sha256))
        assert done.returncode == 0, done.stderr

    def install_command(self, bundle: Path, key_sha256: str) -> list[str]:
        script = self.prefix / "current" / "install.py"  # the one in use, which was checked when it was installed
        if not script.exists():
            script = self.prefix.with_name("install.py")
            with tarfile.open(bundle) as tar:
                script.write_bytes(tar.extractfile("install.py").read())  # type: ignore[union-attr]
        return [PYTHON, str(script), "--prefix", str(self.prefix), "install", str(bundle), "--key-sha256", key_sha256]

    def start(self) -> None:
        """Start the agent, and wait until it is connected."""
        command = [str(self.prefix / "current" / "bin" / "datalab"), "node", "start", "--home", str(self.home.path)]
        with self.home.log_file("node").open("ab") as log:
            agent = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.agents.append(agent)
        deadline = time.monotonic() + 30
        while not (self.home.path / "run" / "node.json").exists():
            assert agent.poll() is None, self.home.log_file("node").read_text(encoding="utf-8")
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self) -> None:
        self.datalab("node", "stop", "--home", str(self.home.path))
        assert self.agents.pop().wait(timeout=10) == 0

    def files(self) -> dict[str, str]:
        """Every file of the home, by checksum."""
        folder = self.home.path
        return {str(path.relative_to(folder)): sha256_file(path) for path in folder.rglob("*") if path.is_file()}

    def prove(self, version: str) -> None:
        """The version in use connects, is well, and takes part in a whole run in its sandbox; its record is intact."""
        assert self.datalab("--version").split()[-1] == version
        self.start()
        status = json.loads(self.datalab("node", "status", "--json", "--home", str(self.home.path)))
        assert status["state"] == "connected"
        checks = json.loads(self.datalab("doctor", "--json", "--home", str(self.home.path)))
        assert {one["name"]: one["what"] for one in checks if one["state"] != "ok"} == {}
        assert checks[0]["what"].startswith(f"Datalab {version},")
        folder = self.federation.run([NODE])
        assert folder.read_card()["outcome"] == "completed"
        self.stop()
        self.datalab("audit", "verify", str(self.home.path / "audit.jsonl"))


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """A gateway of this environment, and a hospital that has nothing but Python."""

    class NotStarted(Federation):
        def start_node(self, name: str) -> None:
            """The node is started from what the bundle installs."""

    folder = tmp_path_factory.mktemp("hospital")
    with Supervisor() as supervisor:
        federation = NotStarted(folder, supervisor)
        running = Hospital(folder / "opt", federation.add_node(NODE), federation)
        yield running
        for agent in running.agents:
            agent.terminate()
            agent.wait(timeout=20)


def test_upgrade_and_rollback_lose_nothing(bundles: Bundles, hospital: Hospital) -> None:
    home = hospital.home.path
    hospital.install(bundles.this, bundles.key_sha256)
    hospital.datalab("node", "enrol", "--home", str(home), "--token-file", str(home / "token"))
    (home / "token").unlink()
    hospital.prove(__version__)
    before, entries = hospital.files(), (home / "audit.jsonl").read_bytes()

    interrupt(hospital, bundles)
    assert hospital.datalab("--version").split()[-1] == __version__
    hospital.install(bundles.later, bundles.key_sha256)
    assert len(list(hospital.prefix.glob(".staging-*"))) == 0
    assert hospital.files() == before
    hospital.prove(LATER)
    assert (home / "audit.jsonl").read_bytes().startswith(entries)
    upgraded, entries = hospital.files(), (home / "audit.jsonl").read_bytes()

    older = offline(*hospital.install_command(bundles.this, bundles.key_sha256))
    assert older.returncode == 1
    assert "--allow-downgrade" in older.stderr
    assert hospital.datalab("--version").split()[-1] == LATER

    script = hospital.prefix / "current" / "install.py"
    done = offline(PYTHON, script, "--prefix", hospital.prefix, "rollback")
    assert done.returncode == 0, done.stderr
    assert hospital.files() == upgraded
    hospital.prove(__version__)
    assert (home / "audit.jsonl").read_bytes().startswith(entries)
    assert sha256_file(home / "identity" / "identity.pem") == before["identity/identity.pem"]
    assert sha256_file(home / "node.toml") == before["node.toml"]

    refused = offline(PYTHON, script, "--prefix", hospital.prefix, "rollback")
    assert refused.returncode == 1
    assert "no former version" in refused.stderr


def interrupt(hospital: Hospital, bundles: Bundles) -> None:
    """Kill an upgrade half-way."""
    upgrade = subprocess.Popen(hospital.install_command(bundles.later, bundles.key_sha256), process_group=0)
    deadline = time.monotonic() + 60
    while not list((hospital.prefix / "versions").glob(f"{LATER}-*/lib/python*/site-packages/datalab")):
        assert upgrade.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(upgrade.pid, signal.SIGKILL)
    assert upgrade.wait(timeout=10) == -signal.SIGKILL


def test_what_is_installed_is_light_and_as_the_lock_and_the_bill_of_materials_say(
    bundles: Bundles, hospital: Hospital
) -> None:
    hospital.install(bundles.this, bundles.key_sha256)
    current = (hospital.prefix / "current").resolve()
    bill = (current / "sbom.cdx.json").read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    found = json.loads(bill)
    listed = {one["name"]: one for one in [found["metadata"]["component"], *found["components"]]}
    code = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    said = subprocess.run([current / "bin" / "python", "-I", "-c", code], capture_output=True, text=True, check=True)
    installed = {name.lower().replace("_", "-").replace(".", "-"): v for name, v in json.loads(said.stdout).items()}
    assert installed == {name: one["version"] for name, one in listed.items()}
    assert not FLOWER_SERVER & installed.keys()
    assert not {"dagster", "greenlet", "httptools", "minio", "pip", "uvloop", "websockets"} & installed.keys()
    manifest = json.loads((current / MANIFEST).read_bytes())
    wheels = {value for name, value in manifest["files"].items() if name.startswith("wheels/")}
    assert {one["hashes"][0]["content"] for one in listed.values()} == wheels
    assert f"{len(installed)} packages" in bundles.said
    size = sum(path.lstat().st_size for path in current.rglob("*") if path.is_file())
    print(
        f"\n{len(installed)} packages, bundle {bundles.this.stat().st_size / 1e6:.1f} MB, installed {size / 1e6:.1f} MB"
    )
    assert size < 300e6


def test_who_reads_the_installation_cannot_change_it(bundles: Bundles, hospital: Hospital) -> None:
    hospital.install(bundles.this, bundles.key_sha256)
    current = (hospital.prefix / "current").resolve()
    for path in [current, *current.rglob("*")]:
        if not path.is_symlink():
            assert path.stat().st_mode & 0o022 == 0, path
            assert path.stat().st_mode & 0o004, path
    assert (hospital.prefix / "current").readlink() == Path("versions", current.name)
