"""Making a bundle: what it is made of is what the source and the lock say, or it is not made."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from datalab.canonical import sha256_file
from datalab.errors import DatalabError
from datalab.permits.keys import PRIVATE_FILE, PUBLIC_FILE, generate_key, write_key_pair
from federation.commands.bundle import bundle
from federation.release.closure import Locked
from federation.release.wheels import fetch, own_wheel, read_metadata

ROOT = Path(__file__).parents[3]
TOY = "toy-1.0-py3-none-any.whl"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder from which alone pip takes packages, with one in it; its checksum."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / TOY, "w") as wheel:
        wheel.writestr("toy-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
        wheel.writestr("toy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("toy-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return hashlib.sha256((folder / TOY).read_bytes()).hexdigest()


def test_a_package_is_fetched_by_its_checksum(tmp_path: Path, index: str) -> None:
    folder = tmp_path / "wheels"
    fetch([Locked("toy", "1.0", (f"sha256:{index}",))], folder)
    assert sha256_file(folder / TOY) == index


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize(
    "package", [Locked("toy", "1.0", (f"sha256:{'0' * 64}",)), Locked("toy", "2.0", ("sha256:00",))]
)
def test_a_package_that_is_not_the_locked_one_is_refused(tmp_path: Path, package: Locked) -> None:
    with pytest.raises(DatalabError, match="pip download failed"):
        fetch([package], tmp_path / "wheels")
    assert not list(tmp_path.glob("wheels/*"))


def test_the_same_source_gives_the_same_wheel(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made.append(own_wheel(ROOT, tmp_path / name))
    assert sha256_file(made[0]) == sha256_file(made[1])
    assert any(
        'extra == "node"' in line or "extra == 'node'" in line
        for line in read_metadata(made[0]).get_all("Requires-Dist", [])
    )
    with zipfile.ZipFile(made[0]) as wheel:
        shared = {name.rpartition("/")[2] for name in wheel.namelist() if "/share/datalab/" in name}
    assert shared == {"datalab-node.service", "datalab-bwrap", "hospital-it.md"}


def test_what_is_no_source_is_said_to_be_none(tmp_path: Path) -> None:
    write_key_pair(generate_key(), tmp_path)
    shutil.copyfile(ROOT / "requirements.lock", tmp_path / "requirements.lock")
    with pytest.raises(DatalabError, match="Neither Datalab's source nor a wheel of it"):
        run(tmp_path, tmp_path)
    for name in ("federated_datalab-1-py3-none-any.whl", "federated_datalab-2-py3-none-any.whl"):
        (tmp_path / name).touch()
    with pytest.raises(DatalabError, match="more than one wheel"):
        run(tmp_path, tmp_path)


def test_a_node_goes_from_release_to_release(tmp_path: Path) -> None:
    write_key_pair(generate_key(), tmp_path)
    shutil.copyfile(ROOT / "requirements.lock", tmp_path / "requirements.lock")
    with zipfile.ZipFile(tmp_path / "federated_datalab-1.0rc1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("federated_datalab-1.0rc1.dist-info/METADATA", "Name: federated-datalab\nVersion: 1.0rc1\n")
    with pytest.raises(DatalabError, match=r"Datalab 1\.0rc1 is not a release"):
        run(tmp_path, tmp_path)


def test_only_a_private_key_signs(tmp_path: Path) -> None:
    write_key_pair(generate_key(), tmp_path)
    with pytest.raises(DatalabError, match="This is not a private key"):
        run(tmp_path, ROOT, PUBLIC_FILE)


def run(folder: Path, source: Path, key: str = PRIVATE_FILE) -> None:
    """Run the command, which raises what a person would read."""
    arguments = ["--out", str(folder / "out.tar"), "--key", str(folder / key), "--source", str(source)]
    raised = CliRunner().invoke(bundle, arguments).exception
    assert not (folder / "out.tar").exists()
    assert raised is not None
    raise raised
