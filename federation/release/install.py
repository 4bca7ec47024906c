"""Installs a Datalab node from a bundle, without a network, and goes back to the version before.

    python3 install.py install BUNDLE --key-sha256 FINGERPRINT
    python3 install.py rollback

It needs Python's standard library (with venv) and the program openssl, 3.0 or newer, and nothing else. Each version is
an environment of its own below PREFIX/versions; the link PREFIX/current names the one in use, and changes in one step.
The node's own folder (key, node.toml, approvals, ledger, audit log) lies elsewhere and is never touched.

The bundle is believed only if it was signed with the key whose fingerprint you name. Ask the lab's operator for the
fingerprint by another way than the one by which the bundle came. This file came in the bundle too: before it is run for
the first time, check the bundle by hand as docs/hospital-it.md shows.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import fcntl
import hashlib
import hmac
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import IO, Any

FORMAT = 1
MANIFEST = "manifest.json"
VERSION = r"\d{1,6}(\.\d{1,6}){0,3}"
PREFIX = "/opt/datalab"
FORMER = "former"
"""File of a version: the one that was in use before it."""
_NAME = re.compile(r"(wheels/)?[A-Za-z0-9][A-Za-z0-9._+-]{0,200}")
_SHA256 = re.compile("[0-9a-f]{64}")
_FIELDS = {"version": VERSION, "python": r"3\.\d{1,2}", "machine": r"\w{1,32}"}
_ED25519 = bytes.fromhex("302a300506032b6570032100")
"""How the SubjectPublicKeyInfo of an Ed25519 key begins (RFC 8410); the key's 32 bytes follow."""


class Problem(Exception):  # noqa: N818 - what the reader of its sentence would call it
    """What went wrong, where, and what to do next; nothing that is in use was changed."""


def main() -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prefix", type=Path, default=Path(PREFIX), help=f"where versions are ({PREFIX})")
    commands = parser.add_subparsers(dest="command", required=True)
    new = commands.add_parser("install", help="install a bundle, or upgrade to it")
    new.add_argument("bundle", type=Path, help="the file; BUNDLE.sig and BUNDLE.pem lie beside it")
    new.add_argument("--key-sha256", required=True, help="fingerprint of the key, as the lab's operator told you")
    new.add_argument("--allow-downgrade", action="store_true", help="install a version older than the one in use")
    commands.add_parser("rollback", help="go back to the version that was in use before this one")
    chosen = parser.parse_args()
    os.umask(0o022)  # the node runs as a user of its own, who reads what is installed here
    try:
        prefix = chosen.prefix.absolute()
        if chosen.command == "rollback":
            rollback(prefix)
        else:
            install(chosen.bundle, chosen.key_sha256, prefix, allow_downgrade=chosen.allow_downgrade)
    except Problem as problem:
        print(f"install.py: {problem}", file=sys.stderr)
        return 1
    except OSError as error:
        advice = " Run it as root, or name your own folder with --prefix." if isinstance(error, PermissionError) else ""
        print(f"install.py: {error.filename}: {error.strerror}. Nothing in use was changed.{advice}", file=sys.stderr)
        return 1
    return 0


def install(bundle: Path, fingerprint: str, prefix: Path, *, allow_downgrade: bool) -> None:
    """Check a bundle, install it beside what is there, and go over to it."""
    prefix.mkdir(parents=True, exist_ok=True)
    with _lock(prefix):
        for left in prefix.glob(".staging-*"):  # by an install that was killed
            shutil.rmtree(left)
        _install(bundle, fingerprint, prefix, allow_downgrade=allow_downgrade)


def _install(bundle: Path, fingerprint: str, prefix: Path, *, allow_downgrade: bool) -> None:
    with tempfile.TemporaryDirectory(prefix=".staging-", dir=prefix) as temporary:
        staging = Path(temporary)
        archive = staging / "bundle"
        for end in ("", ".sig", ".pem"):  # from here on nobody else can change what is checked
            shutil.copyfile(f"{bundle}{end}", f"{archive}{end}")
        check_signature(archive, fingerprint)
        manifest = unpack(archive, staging / "files")
        check_place(manifest)
        check_order(manifest, current(prefix), allow_downgrade=allow_downgrade)
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        target = prefix / "versions" / f"{manifest['version']}-{digest[:12]}"
        if (target / MANIFEST).exists():
            print(f"{target.name} is installed already.")
        else:
            build(target, staging / "files", manifest["version"])
        switch(prefix, target)
    print(f"In use: {target.name}, as {prefix / 'current'}. Start the node again to run it.")


def rollback(prefix: Path) -> None:
    """Go back to the version that was in use before this one."""
    with _lock(prefix):
        now = current(prefix)
        if now is None or not (now / FORMER).exists():
            raise Problem(f"There is no former version in {prefix}. Nothing was changed.")
        target = prefix / "versions" / (now / FORMER).read_text(encoding="ascii")
        if not (target / MANIFEST).exists():
            raise Problem(f"The former version {target} is no longer there. Install its bundle with --allow-downgrade.")
        _point(prefix, target)
    print(f"In use again: {target.name}, as {prefix / 'current'}. Start the node again to run it.")


def check_signature(archive: Path, fingerprint: str) -> None:
    """Check that the key beside ``archive`` has this fingerprint, and that it signed ``archive``."""
    asked = fingerprint.replace(":", "").strip().lower()
    if not re.fullmatch("[0-9a-f]{64}", asked):
        raise Problem("A key's fingerprint is 64 hexadecimal characters. Ask the lab's operator for it.")
    pem = Path(f"{archive}.pem").read_bytes()
    found = re.fullmatch(rb"\s*-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----\s*", pem)
    try:
        key = binascii.a2b_base64(found[1]) if found else b""
    except binascii.Error:
        key = b""
    if len(key) != len(_ED25519) + 32 or not key.startswith(_ED25519):
        raise Problem("The file .pem beside the bundle is not an Ed25519 public key. Fetch it again.")
    if not hmac.compare_digest(hashlib.sha256(key).hexdigest(), asked):
        raise Problem(
            "The bundle comes with another key than the one whose fingerprint you named. Do not install it; "
            "ask the lab's operator, by telephone, which key signs their bundles."
        )
    checked = Path(f"{archive}.checked.pem")  # written anew: openssl sees the very key that was looked at above
    checked.write_bytes(b"-----BEGIN PUBLIC KEY-----\n%s-----END PUBLIC KEY-----\n" % base64.encodebytes(key))
    said = _run(["openssl", "version"], "The program openssl is needed to check the signature. Install it.")
    if not re.match(r"OpenSSL ([3-9]|\d\d)\.", said.stdout):
        raise Problem(f"openssl 3.0 or newer is needed to check the signature; this is {said.stdout.strip()}.")
    verify = ["openssl", "pkeyutl", "-verify", "-rawin", "-in", str(archive), "-sigfile", f"{archive}.sig"]
    if _run([*verify, "-pubin", "-inkey", str(checked)], "openssl could not be started.").returncode != 0:
        raise Problem("The signature does not match: the bundle was damaged or changed on its way. Fetch it again.")


def unpack(archive: Path, folder: Path) -> dict[str, str]:
    """Unpack the files that the bundle's manifest names into ``folder``, each checked, and return what it is."""
    folder.mkdir()
    (folder / "wheels").mkdir()
    written: dict[str, str] = {}
    try:
        with tarfile.open(archive, "r:") as tar:
            for entry in tar:
                if not entry.isreg() or not _NAME.fullmatch(entry.name) or entry.name in written:
                    raise Problem(f"The bundle holds what no bundle of Datalab does: {entry.name[:100]!r}.")
                source = tar.extractfile(entry)
                assert source is not None
                data = source.read()
                (folder / entry.name).write_bytes(data)
                written[entry.name] = hashlib.sha256(data).hexdigest()
    except tarfile.TarError:
        raise Problem("The bundle cannot be unpacked. Fetch it again.") from None
    manifest = _read_manifest(folder)
    wanted = manifest.pop("files")
    written.pop(MANIFEST)
    for what, names in (
        ("lacks", wanted.keys() - written.keys()),
        ("holds, unknown to its manifest,", written.keys() - wanted.keys()),
        ("holds another file than its manifest says as", {n for n in wanted if written.get(n, wanted[n]) != wanted[n]}),
    ):
        if names:
            raise Problem(f"The bundle {what} {min(names)}. Tell the lab's operator; nothing was changed.")
    return manifest


def check_place(manifest: dict[str, str]) -> None:
    """Check that the bundle is for this Python and machine."""
    here = (".".join(platform.python_version_tuple()[:2]), platform.machine())
    wanted = (manifest["python"], manifest["machine"])
    if here != wanted:
        raise Problem(
            f"The bundle is for Python {wanted[0]} on {wanted[1]}; this is Python {here[0]} on {here[1]}. "
            f"Run install.py with python{wanted[0]}, or ask the lab's operator for a bundle for yours."
        )


def check_order(manifest: dict[str, str], now: Path | None, *, allow_downgrade: bool) -> None:
    """Check that the bundle is not older than what is in use."""
    if now is None or allow_downgrade:
        return
    in_use = json.loads((now / MANIFEST).read_bytes())["version"]
    if _numbers(manifest["version"]) < _numbers(in_use):
        raise Problem(
            f"The bundle is of version {manifest['version']}, older than {in_use}, which is in use. To go back to the "
            "version before, use: install.py rollback. To install an older one all the same, add --allow-downgrade."
        )


def build(target: Path, files: Path, version: str) -> None:
    """Make the environment of a version; its manifest comes last, and tells a whole one from a broken attempt."""
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(exist_ok=True)
    wheels = sorted(map(str, (files / "wheels").iterdir()))
    python = str(target / "bin" / "python")
    pip = [python, "-I", "-m", "pip", "--isolated", "--quiet", "--no-input", "--disable-pip-version-check"]
    advice = "Is Python's venv installed (Debian, Ubuntu: package python3-venv), and is there room on the disk?"
    try:
        _must([sys.executable, "-I", "-m", "venv", str(target)], advice)
        _must([*pip, "install", "--no-index", "--no-deps", "--no-cache-dir", *wheels], "Tell the lab's operator.")
        _must([*pip, "uninstall", "--yes", "pip", "setuptools"], "Tell the lab's operator.")
        said = _must([str(target / "bin" / "datalab"), "--version"], "Tell the lab's operator.")
        if said.split()[-1:] != [version]:
            raise Problem(
                f"The version installed calls itself {said.strip()!r}, not {version}. Tell the lab's operator."
            )
        for name in ("install.py", "sbom.cdx.json", MANIFEST):
            shutil.copyfile(files / name, target / name)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def current(prefix: Path) -> Path | None:
    """Return the version in use."""
    link = prefix / "current"
    if link.exists() and not link.is_symlink():
        raise Problem(f"{link} is not a link that install.py made. Move it away, or name another folder with --prefix.")
    return prefix / "versions" / link.readlink().name if link.is_symlink() else None


def switch(prefix: Path, target: Path) -> None:
    """Go over to ``target``, which from now on knows what was in use before it."""
    now = current(prefix)
    if now == target:
        return
    if now is not None:
        (target / FORMER).write_text(now.name, encoding="ascii")
    _point(prefix, target)


def _point(prefix: Path, target: Path) -> None:
    """Let the link ``current`` name ``target``, in one step."""
    link = prefix / ".current.new"
    link.unlink(missing_ok=True)
    link.symlink_to(target.relative_to(prefix))
    link.replace(prefix / "current")
    folder = os.open(prefix, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest, every field of which has the form that it must have."""
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
        strings = {name: re.fullmatch(form, found[name]) for name, form in _FIELDS.items()}
        named = all(map(_NAME.fullmatch, found["files"])) and all(map(_SHA256.fullmatch, found["files"].values()))
        right = found["format"] == FORMAT and all(strings.values()) and named
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        right = False
    if not right:
        raise Problem("The bundle's manifest is missing, or not one that this install.py knows. Use the bundle's own.")
    return {**{name: found[name] for name in _FIELDS}, "files": found["files"]}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _lock(prefix: Path) -> IO[bytes]:
    """Hold the prefix for oneself: two installs at once would take each other's link."""
    file = (prefix / ".lock").open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise Problem(f"Another install is under way in {prefix}. Wait for it to end.") from None
    return file


def _must(command: list[str], advice: str) -> str:
    """Run a program that has to succeed, and return what it said."""
    done = _run(command, advice)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Problem(f"{Path(command[0]).name} failed: {said[-1].rstrip('.') if said else done.returncode}. {advice}")
    return done.stdout


def _run(command: list[str], advice: str) -> subprocess.CompletedProcess[str]:
    """Run a program with nothing of this environment that could lead it to other packages."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "PIP_CONFIG_FILE": os.devnull}
    try:
        return subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise Problem(f"{command[0]} is not there. {advice}") from None


if __name__ == "__main__":
    sys.exit(main())
