"""Bundles of this version and of a later one, made as the lab's operator makes them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from datalab import __version__
from datalab.permits.keys import PRIVATE_FILE, generate_key, write_key_pair
from federation.release.closure import FLOWER_SERVER, closure, read_lock
from federation.release.wheels import fetch, own_wheel

ROOT = Path(__file__).parents[3]
DATALAB = str(Path(sys.executable).with_name("datalab"))
LATER = "99.1.0"


@dataclass(frozen=True)
class Bundles:
    """What the operator hands over: two files with their signatures, and by telephone the key's fingerprint."""

    this: Path
    later: Path
    wheels: Path
    key_sha256: str
    said: str


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    """Bundles of this source, and of the same one with a later version number."""
    folder = tmp_path_factory.mktemp("operator")
    write_key_pair(generate_key(), folder)
    this, later = folder / "datalab-node.tar", folder / "later" / "datalab-node.tar"
    said = make(this, folder / PRIVATE_FILE, ROOT)
    later.parent.mkdir()
    with tarfile.open(this) as tar:
        tar.extractall(folder, [one for one in tar if one.name.startswith("wheels/")], filter="data")
    known = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder / "wheels")}
    make(later, folder / PRIVATE_FILE, later_wheel(folder), **known)
    return Bundles(this, later, folder / "wheels", said.split()[-1], said)


def make(out: Path, key: Path, source: Path, **environment: str) -> str:
    """Run ``datalab node bundle`` and return what it said."""
    command = [DATALAB, "node", "bundle", "--out", str(out), "--key", str(key), "--source", str(source)]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def later_wheel(place: Path) -> Path:
    """A folder with the lock and a wheel of this source that calls itself ``LATER``."""
    folder, built = place / "source", place / "built"
    built.mkdir()
    for name in ("datalab", "catalog", "federation", "pipelines", "demo", "deploy", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.lock", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, folder / name)
    for path, line in ((folder / "datalab" / "__init__.py", "__version__ ="), (folder / "pyproject.toml", "version =")):
        text, count = re.subn(f'(?m)^{line} "{re.escape(__version__)}"$', f'{line} "{LATER}"', path.read_text("utf-8"))
        assert count == 1
        path.write_text(text, encoding="utf-8")
    own_wheel(folder, built)
    shutil.copyfile(ROOT / "requirements.lock", built / "requirements.lock")
    return built


@pytest.fixture(scope="session")
def mirror(bundles: Bundles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has what a package mirror has: the bundle's wheels, and those that Flower's server needs."""
    folder = tmp_path_factory.mktemp("mirror") / "wheels"
    shutil.copytree(bundles.wheels, folder)
    there = {path.name.partition("-")[0].lower().replace("_", "-") for path in folder.iterdir()}
    wanted = [*FLOWER_SERVER, "sqlalchemy[asyncio]", "uvicorn[standard]"]
    more = closure(wanted, "", read_lock(ROOT / "requirements.lock"))
    fetch([one for one in more if one.name not in there], folder)
    return folder
