"""App bundles: the same files give the same digest, and nothing but plain files below a folder comes out of one."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from datalab.errors import NotFoundError
from datalab.home import Home
from datalab.permits.keys import PRIVATE_FILE, generate_key, write_key_pair
from federation.bundle import digest, pack, read_app, read_bundle, read_files, unpack
from federation.commands import app as app_commands
from federation.errors import BundleError
from federation.lab import find_app, keep_app
from tests.perf import flower
from tests.support.federation import ECHO


def write_bundle(path: Path, *entries: tuple[str | zipfile.ZipInfo, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in entries:
            archive.writestr(name, text)
    return path


def test_an_app_survives_packing(tmp_path: Path) -> None:
    (tmp_path / "bundle.zip").write_bytes(pack(ECHO))
    assert unpack(tmp_path / "bundle.zip", tmp_path / "app") == read_app(ECHO)
    assert (tmp_path / "app" / "echo" / "client_app.py").read_bytes() == (ECHO / "echo" / "client_app.py").read_bytes()


def test_the_digest_depends_on_the_files_alone(tmp_path: Path) -> None:
    before = digest(pack(ECHO))
    (tmp_path / "bundle.zip").write_bytes(pack(ECHO))
    copy = tmp_path / "copy"
    unpack(tmp_path / "bundle.zip", copy)
    os.utime(copy / "pyproject.toml", (0, 0))
    (copy / "echo" / "__pycache__").mkdir()
    (copy / "echo" / "__pycache__" / "client_app.pyc").write_bytes(b"x")
    assert digest(pack(copy)) == before
    (copy / "echo" / "client_app.py").write_text("", encoding="utf-8")
    assert digest(pack(copy)) != before


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o120777 << 16
    return entry


@pytest.mark.parametrize(
    "entry",
    [("../escaped.py", "x"), ("/etc/escaped.py", "x"), ("a\\b.py", "x"), (link("link"), "/etc/passwd")],
    ids=["above", "absolute", "backslash", "symbolic link"],
)
def test_tricks_with_paths_are_refused(tmp_path: Path, entry: tuple[str | zipfile.ZipInfo, str]) -> None:
    bundle = write_bundle(tmp_path / "bundle.zip", entry)
    with pytest.raises(BundleError, match="plain files"):
        unpack(bundle, tmp_path / "deep" / "app")
    assert not (tmp_path / "deep" / "escaped.py").exists()


@pytest.mark.parametrize("name", ["echo/__pycache__/x.cpython-312.pyc", "echo/x.pyc", "x.pyo", "__pycache__/x.py"])
def test_compiled_python_is_refused(tmp_path: Path, name: str) -> None:
    bundle = write_bundle(tmp_path / "bundle.zip", (name, "x"))
    with pytest.raises(BundleError, match="compiled Python"):
        unpack(bundle, tmp_path / "app")
    assert not (tmp_path / "app" / name).exists()


def test_what_is_not_a_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bundle.zip").write_bytes(b"PK but not a zip")
    with pytest.raises(BundleError, match="cannot be unpacked"):
        unpack(tmp_path / "bundle.zip", tmp_path / "app")


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle.zip", ("x.py", "x"))
    data = bytearray(bundle.read_bytes())
    for sign, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # where a file's flags are: here, and in the directory
        data[data.index(sign) + at] |= 1
    bundle.write_bytes(data)
    with pytest.raises(BundleError, match="cannot be unpacked"):
        unpack(bundle, tmp_path / "app")


def test_a_bundle_that_unpacks_to_too_much_is_refused_before_it_does(tmp_path: Path) -> None:
    bomb = tmp_path / "bundle.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"{number}.bin", bytes(100 << 20))
    with pytest.raises(BundleError, match="more than is allowed"):
        unpack(bomb, tmp_path / "app")
    assert not (tmp_path / "app").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[project]\nname = 'x'\nversion = '1'\n",
        "not toml [",
        "project={name='x', version='1'}\n[tool]\ndatalab='x'\nflwr.app.components={serverapp='s:a', clientapp='c:a'}",
    ],
)
def test_a_folder_without_a_flower_app_is_said_to_be_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    with pytest.raises(BundleError, match="does not describe a Flower app"):
        pack(tmp_path)


def test_flowers_own_bundle_is_taken_as_it_is(tmp_path: Path) -> None:
    flower.build([ECHO], tmp_path)
    (path,) = tmp_path.glob("*.fab")
    made = read_bundle(path)
    assert made == path.read_bytes()
    lab = Home(tmp_path / "lab")
    keep_app(lab, made)
    assert find_app(lab, hashlib.sha256(made).hexdigest())[1] == made
    app, files = read_files(made)
    assert app == read_app(ECHO)
    assert files["echo/client_app.py"] == (ECHO / "echo" / "client_app.py").read_bytes()
    shown = CliRunner().invoke(app_commands.show, [str(path)])
    assert hashlib.sha256(made).hexdigest() in shown.output


def test_a_file_that_is_no_bundle_is_neither_shown_nor_signed(tmp_path: Path) -> None:
    path = tmp_path / "echo.fab"
    path.write_bytes(b"no zip")
    write_key_pair(generate_key(), tmp_path)
    key = ["--key", str(tmp_path / PRIVATE_FILE)]
    for command, options in ((app_commands.show, []), (app_commands.sign, key)):
        with pytest.raises(BundleError, match="cannot be unpacked"):
            CliRunner().invoke(command, [str(path), *options], catch_exceptions=False)
    with pytest.raises(NotFoundError, match="cannot be read"):
        read_bundle(tmp_path / "nowhere.fab")
