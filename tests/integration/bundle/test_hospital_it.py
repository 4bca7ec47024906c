"""docs/hospital-it.md, each command as written, on a machine of its own: what it promises of a node holds.

The machine has systemd and Python, and no network while a bundle is installed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from datalab import __version__
from datalab.audit.verification import verify
from datalab.canonical import sha256_file
from datalab.supervisor import Supervisor
from federation.pki.identity import Role
from federation.pki.local import invite
from federation.release.closure import FLOWER_SERVER
from federation.release.install import MANIFEST
from tests.integration.bundle.conftest import LATER, ROOT, Bundles
from tests.support.documents import blocks, commands
from tests.support.federation import ECHO, TOY_CONTRACT, Federation
from tests.support.machine import Machine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.getuid() != 0, reason="only root can make a machine"),
]
TEXT = (ROOT / "docs" / "hospital-it.md").read_text(encoding="utf-8")
HOME = "/var/lib/datalab-node"
NODE = "leiden"


class Hospital:
    """Hospital IT, who has a machine and reads the page.

    Args:
        machine: on which they work.
        federation: to which the node will belong.
        fingerprint: what the operator told them by telephone.
    """

    def __init__(self, machine: Machine, federation: Federation, fingerprint: str) -> None:
        self.machine = machine
        self.federation = federation
        self.fingerprint = fingerprint
        self.parts = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
        self.parts[""] = TEXT.partition("\n## ")[0]

    def read(self, title: str, **environment: str) -> str:
        """Type the commands of one part of the page, which must succeed; return what they said."""
        part = self.parts.pop(title)
        return "".join(self.type(command, **environment) for block in blocks(part) for command in commands(block))

    def type(self, command: str, **environment: str) -> str:
        """Type one command; what installs a bundle runs where no network is."""
        command = re.sub(r"^python3 (\S*install.py)", r"unshare --net python3 \1", command)
        done = self.machine.run(command, DATALAB_NODE_HOME=HOME, FINGERPRINT=self.fingerprint, **environment)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}{self.log()}"
        return done.stdout

    def log(self) -> str:
        return self.machine.run("journalctl --no-pager --unit datalab-node | tail -n 30").stdout

    def file(self, name: str) -> Path:
        """Where a file of the node's home is for the test."""
        return self.machine.host_path(f"{HOME}/{name}")

    def as_node(self, arguments: str) -> str:
        return self.type(f"runuser -u datalab-node -- datalab {arguments}")

    def wait_connected(self) -> dict[str, Any]:
        deadline = time.monotonic() + 30
        while not self.file("run/node.json").exists():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)
        status: dict[str, Any] = json.loads(self.as_node("node status --json"))
        assert status["state"] == "connected"
        return status

    def prove(self, version: str) -> None:
        """The service runs this version, is well, and takes part in a whole run, in its sandbox."""
        status = self.wait_connected()
        main = self.type("systemctl show --property MainPID --value datalab-node").strip()
        assert int(main) == status["pid"]
        assert self.type(f"stat --format %U /proc/{main}").strip() == "datalab-node"
        checks = json.loads(self.as_node("doctor --json"))
        assert {one["name"]: one["what"] for one in checks if one["state"] != "ok"} == {}
        assert checks[0]["what"].startswith(f"Datalab {version},")
        assert self.federation.run([NODE]).read_card()["outcome"] == "completed"
        assert verify(self.file("audit.jsonl")).intact

    def kept(self) -> dict[str, str]:
        """What no upgrade may touch, by checksum."""
        names = ["node.toml", "identity/identity.pem", "identity/trust.pem", "access-body.jwk", "toy.odcs.yaml"]
        return {name: sha256_file(self.file(name)) for name in names}


@pytest.fixture(scope="module")
def hospital(bundles: Bundles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """A machine on which lies what the lab's operator and the holder of the data have sent; and a gateway."""
    folder = tmp_path_factory.mktemp("hospital")
    root = folder / "machine" / "root"
    shutil.copytree(bundles.this.parent, root, ignore=lambda *_: ["source", "built", "later", "wheels"])
    root.chmod(0o755)  # this system's Python may lie below it
    shutil.copytree(bundles.later.parent, root / "new")
    shutil.copytree(ECHO, root / "echo")
    shutil.copyfile(TOY_CONTRACT, root / "toy.odcs.yaml")
    rows = "".join(f"{number / 10},{number % 2}\n" for number in range(100))
    (root / "toy.csv").write_text(f"x,event\n{rows}", encoding="utf-8")
    with Supervisor() as supervisor, Machine(root.parent, Path(sys.base_prefix)) as machine:
        federation = Federation(folder / "lab", supervisor)
        shutil.copyfile(federation.access_body / "permit-key.public.jwk", root / "access-body.jwk")
        token = invite(federation.lab, Role.NODE, NODE, organisation="Leiden", country="NL")
        (root / "leiden.token").write_text(token, encoding="ascii")
        if Path("/root") in Path(sys.base_prefix).parents:  # this system's Python lies where the unit hides it
            drop_in = root.parent / "etc/systemd/system/datalab-node.service.d"
            drop_in.mkdir()
            (drop_in / "python.conf").write_text("[Service]\nProtectHome=read-only\n", encoding="ascii")
        yield Hospital(machine, federation, bundles.key_sha256)


def test_every_command_works_as_written_and_nothing_is_lost(bundles: Bundles, mirror: Path, hospital: Hospital) -> None:
    machine = hospital.machine
    hospital.read("")
    shutil.copytree(mirror, machine.host_path("/root/mirror"))
    hospital.read("Install, with a package mirror", PIP_NO_INDEX="1", PIP_FIND_LINKS="/root/mirror", PIP_NO_COMPILE="1")
    assert hospital.type("datalab --version").split()[-1] == __version__
    shutil.rmtree(machine.host_path("/opt/datalab"))

    said = hospital.read("Install, without one")
    assert said.startswith(f"{bundles.key_sha256}  -\nSignature Verified Successfully\n")
    as_the_lock_says(machine.host_path("/opt/datalab/current"), bundles)
    assert "Enrolled as spiffe://datalab.local/node/leiden" in hospital.read("Enrol")
    hospital.read("Constrain")
    hospital.read("Start")
    unit = machine.run("systemd-analyze verify datalab-node.service")
    assert (unit.returncode, unit.stderr) == (0, "")
    hospital.prove(__version__)
    said = hospital.read("Watch")
    assert "active (running)" in said
    assert '"event": "connected"' in said

    kept, entries = hospital.kept(), hospital.file("audit.jsonl").read_bytes()
    killed_half_way(hospital)
    hospital.read("Upgrade")
    assert not list(machine.host_path("/opt/datalab").glob(".staging-*"))
    hospital.prove(LATER)
    assert hospital.kept() == kept
    assert hospital.file("audit.jsonl").read_bytes().startswith(entries)

    older = machine.run(
        f"python3 /opt/datalab/current/install.py install datalab-node.tar --key-sha256 {bundles.key_sha256}"
    )
    assert older.returncode == 1
    assert "--allow-downgrade" in older.stderr
    entries = hospital.file("audit.jsonl").read_bytes()
    hospital.read("Roll back")
    hospital.prove(__version__)
    assert hospital.kept() == kept
    assert hospital.file("audit.jsonl").read_bytes().startswith(entries)

    gently, for_good = map(commands, blocks(hospital.parts["Stop"])[:2])
    for command in gently:
        hospital.type(command)
    hospital.wait_connected()
    hospital.type(for_good[0])
    deadline = time.monotonic() + 30
    while machine.run("systemctl is-failed datalab-node").stdout.strip() != "failed":
        assert time.monotonic() < deadline, hospital.log()
        time.sleep(0.1)
    assert "stopped for good" in hospital.log()
    hospital.read("Stop")  # all of it once more, and then to the end
    assert machine.run("systemctl is-enabled datalab-node").stdout.strip() == "disabled"
    assert verify(hospital.file("audit.jsonl")).intact
    assert not any(blocks(part) for part in hospital.parts.values()), "a part of the page was not read"


def killed_half_way(hospital: Hospital) -> None:
    """The power fails while a version is being installed: the one in use stays, and the next attempt succeeds."""
    before = hospital.machine.host_path("/opt/datalab/current").readlink()
    install = (
        f"python3 /opt/datalab/current/install.py install new/datalab-node.tar --key-sha256 {hospital.fingerprint}"
    )
    there = f"compgen -G '/opt/datalab/versions/{LATER}-*/lib/python3*/site-packages/datalab' > /dev/null"
    hospital.type(f"set -m; {install} & until {there}; do kill -0 $!; sleep 0.02; done; kill -KILL -- -$!; ! wait $!")
    assert hospital.machine.host_path("/opt/datalab/current").readlink() == before


def as_the_lock_says(current: Path, bundles: Bundles) -> None:
    """What is installed is light, and what the bill of materials and the checksums say; others may read it only."""
    bill = (current / "sbom.cdx.json").read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    found = json.loads(bill)
    listed = {one["name"]: one for one in [found["metadata"]["component"], *found["components"]]}
    installed = {
        re.sub("[-_.]+", "-", name.lower()): version
        for name, version in (
            path.name.removesuffix(".dist-info").rsplit("-", 1)
            for path in current.glob("lib/python3*/site-packages/*.dist-info")
        )
    }
    assert installed == {name: one["version"] for name, one in listed.items()}
    assert not FLOWER_SERVER & installed.keys()
    assert not {"dagster", "greenlet", "httptools", "minio", "pip", "uvloop", "websockets"} & installed.keys()
    wheels = json.loads((current / MANIFEST).read_bytes())["files"]
    assert {one["hashes"][0]["content"] for one in listed.values()} == {
        checksum for name, checksum in wheels.items() if name.startswith("wheels/")
    }
    assert f"{len(installed)} packages" in bundles.said
    files = [path for path in current.rglob("*") if not path.is_symlink()]
    assert not [path for path in files if path.stat().st_mode & 0o022 or not path.stat().st_mode & 0o004]
    size = sum(path.stat().st_size for path in files if path.is_file())
    print(
        f"{len(installed)} packages; bundle {bundles.this.stat().st_size / 1e6:.1f} MB, installed {size / 1e6:.1f} MB"
    )
    assert size < 300e6
