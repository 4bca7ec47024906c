"""What the installer of a bundle refuses, before it changes anything: real signatures, checked by the real openssl."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OKPKey

from datalab.permits.keys import generate_key
from federation.release import install
from federation.release.bundle import archive, publish

WHEEL = "wheels/toy-1.0-py3-none-any.whl"
FILES = {"install.py": b"pass", "sbom.cdx.json": b"{}", WHEEL: b"a wheel"}
Entries = list[tuple[tarfile.TarInfo, bytes]]


class Operator:
    """Signs bundles, good ones and others.

    Args:
        folder: where they go.
    """

    def __init__(self, folder: Path) -> None:
        self.bundle = folder / "node.tar"
        self.prefix = folder / "opt"
        self.key = generate_key()
        self.key_sha256 = ""

    def sign(self, data: bytes, key: OKPKey | None = None) -> None:
        fingerprint = publish(data, key or self.key, self.bundle)
        if key is None:
            self.key_sha256 = fingerprint

    def install(self, key_sha256: str | None = None, **environment: str) -> str:
        """Run the installer, which must refuse and leave nothing behind; return what it said."""
        command = [sys.executable, "-I", install.__file__, "--prefix", str(self.prefix), "install", str(self.bundle)]
        done = subprocess.run(
            [*command, "--key-sha256", key_sha256 or self.key_sha256],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        left = {path.name for path in self.prefix.iterdir()}
        assert left <= {".lock", "versions", "current"}
        assert not (self.prefix / "current").is_symlink()
        assert "versions" not in left or not list((self.prefix / "versions").iterdir())
        return done.stderr


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    """An operator who has signed one bundle."""
    made = Operator(tmp_path)
    made.sign(archive(FILES, version="1.0"))
    return made


def entries(data: bytes) -> Entries:
    """The entries of an archive."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [(entry, tar.extractfile(entry).read()) for entry in tar]  # type: ignore[union-attr]


def packed(content: Entries) -> bytes:
    """An archive of these entries."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for entry, data in content:
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """An entry without content."""
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


@pytest.mark.parametrize("at", [0, 600, -1])
def test_a_byte_changed_on_the_way_is_refused(operator: Operator, at: int) -> None:
    data = bytearray(operator.bundle.read_bytes())
    data[at] ^= 1
    operator.bundle.write_bytes(data)
    assert "The signature does not match" in operator.install()


def test_a_thiefs_key_is_refused_however_well_it_signs(operator: Operator) -> None:
    operator.sign(archive(FILES, version="1.0"), key=generate_key())
    assert "another key" in operator.install()


def test_the_right_key_does_not_vouch_for_a_thiefs_signature(operator: Operator) -> None:
    pem = operator.bundle.with_name("node.tar.pem")
    right = pem.read_bytes()
    operator.sign(archive(FILES, version="1.0"), key=generate_key())
    thiefs = pem.read_bytes()
    pem.write_bytes(right)
    assert "The signature does not match" in operator.install()
    pem.write_bytes(right + thiefs)
    assert "not an Ed25519 public key" in operator.install()


@pytest.mark.parametrize("kind", ["RSA", "EC"])
def test_a_key_of_another_kind_is_refused(operator: Operator, kind: str) -> None:
    option = "rsa_keygen_bits:2048" if kind == "RSA" else "ec_paramgen_curve:P-256"
    private = operator.bundle.with_name("key")
    subprocess.run(
        ["openssl", "genpkey", "-quiet", "-algorithm", kind, "-pkeyopt", option, "-out", private], check=True
    )
    pem = operator.bundle.with_name("node.tar.pem")
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", pem], check=True)
    der = subprocess.run(
        ["openssl", "pkey", "-in", private, "-pubout", "-outform", "DER"], check=True, capture_output=True
    )
    assert "not an Ed25519 public key" in operator.install(hashlib.sha256(der.stdout).hexdigest())


@pytest.mark.parametrize("fingerprint", ["abc", "z" * 64, "0" * 63])
def test_a_fingerprint_is_64_hexadecimal_characters(operator: Operator, fingerprint: str) -> None:
    assert "64 hexadecimal characters" in operator.install(fingerprint)


@pytest.mark.parametrize("end", ["", ".sig", ".pem"])
def test_a_missing_file_is_named(operator: Operator, end: str) -> None:
    operator.bundle.with_name(f"node.tar{end}").unlink()
    assert f"node.tar{end}: No such file" in operator.install()


@pytest.mark.parametrize("signature", [b"", b"\0" * 64, b"\0" * 65])
def test_a_signature_that_is_none_is_refused(operator: Operator, signature: bytes) -> None:
    operator.bundle.with_name("node.tar.sig").write_bytes(signature)
    assert "The signature does not match" in operator.install()


def test_without_openssl_nothing_is_believed(operator: Operator) -> None:
    assert "openssl is not there" in operator.install(PATH="/nonexistent")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: [*found[:-1], (found[-1][0], b"b wheel")], f"another file than its manifest says as {WHEEL}"),
        (lambda found: found[:-1], f"lacks {WHEEL}"),
        (
            lambda found: [*found, (entry("wheels/more-1.0-py3-none-any.whl"), b"")],
            "unknown to its manifest, wheels/more",
        ),
        (lambda found: [*found, found[-1]], "what no bundle of Datalab does"),
        (lambda found: found[1:], "manifest is missing"),
        (lambda _: [], "manifest is missing"),
    ],
    ids=["changed wheel", "missing wheel", "extra wheel", "the same twice", "no manifest", "empty"],
)
def test_a_signed_bundle_that_does_not_hold_together_is_refused(
    operator: Operator, change: Callable[[Entries], Entries], said: str
) -> None:
    operator.sign(packed(change(entries(operator.bundle.read_bytes()))))
    assert said in operator.install()


@pytest.mark.parametrize(
    "trick",
    [
        entry("../evil"),
        entry("/tmp/evil"),
        entry("wheels/../../evil"),
        entry("wheels/sub/evil.whl"),
        entry("./install.py"),
        entry(".hidden"),
        entry("wheels/a\nb"),
        entry("-rf"),
        entry("wheels", tarfile.DIRTYPE),
        entry("wheels/evil", tarfile.SYMTYPE, "/etc/passwd"),
        entry("wheels/evil", tarfile.LNKTYPE, "/etc/passwd"),
        entry("evil", tarfile.CHRTYPE),
        entry("evil", tarfile.FIFOTYPE),
    ],
    ids=lambda trick: repr((trick.name, trick.type)),
)
def test_nothing_but_plain_files_by_plain_names_is_unpacked(operator: Operator, trick: tarfile.TarInfo) -> None:
    operator.sign(packed([(trick, b""), *entries(operator.bundle.read_bytes())]))
    assert "what no bundle of Datalab does" in operator.install()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": "../../etc"}, "manifest"),
        ({"version": "1.0rc1"}, "manifest"),
        ({"format": 2}, "manifest"),
        ({"files": ["install.py"]}, "manifest"),
        ({"files": {"install.py": "no checksum"}}, "manifest"),
        ({"python": "3.9"}, "is for Python 3.9"),
        ({"machine": "sparc64"}, f"is for Python {'.'.join(platform.python_version_tuple()[:2])} on sparc64"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(operator: Operator, changes: dict[str, Any], said: str) -> None:
    (first, manifest), *others = entries(operator.bundle.read_bytes())
    data = json.dumps({**json.loads(manifest), **changes}).encode()
    first.size = len(data)
    operator.sign(packed([(first, data), *others]))
    assert said in operator.install()


def test_what_is_no_archive_is_refused(operator: Operator) -> None:
    operator.sign(b"no archive")
    assert "cannot be unpacked" in operator.install()


def test_a_wheel_that_cannot_be_installed_leaves_nothing_behind(operator: Operator) -> None:
    assert "python failed" in operator.install()


def test_an_environment_that_somebody_else_made_is_not_replaced(operator: Operator) -> None:
    (operator.prefix / "current").mkdir(parents=True)
    assert "is not a link that install.py made" in operator.install()


def test_two_installs_at_once_are_refused(operator: Operator) -> None:
    operator.prefix.mkdir()
    with (operator.prefix / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "Another install is under way" in operator.install()


def test_the_same_files_and_key_give_the_same_bytes(operator: Operator) -> None:
    signature = operator.bundle.with_name("node.tar.sig")
    before = (operator.bundle.read_bytes(), signature.read_bytes())
    operator.sign(archive(dict(reversed(FILES.items())), version="1.0"))
    assert (operator.bundle.read_bytes(), signature.read_bytes()) == before
