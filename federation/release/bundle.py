"""A node's bundle: one tar of wheels, their checksums, a bill of materials and the installer, signed as a whole.

The same source, lock and key give the same bytes.
"""

from __future__ import annotations

import io
import json
import platform
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name, parse_wheel_filename

from datalab.canonical import sha256_hex
from datalab.errors import BadInputError, NotWritableError
from datalab.home import write_atomically
from federation.release import install
from federation.release.closure import Locked, closure, direct, read_lock
from federation.release.sbom import bill_of_materials
from federation.release.wheels import fetch, own_wheel, read_metadata

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey

LOCK = "requirements.lock"
EXTRA = "node"


@dataclass(frozen=True)
class Made:
    """A bundle that was made.

    Attributes:
        version: of Datalab.
        packages: how many, Datalab itself among them.
        size: of the bundle, in bytes.
        key_sha256: fingerprint of the key that signed it.
    """

    version: str
    packages: int
    size: int
    key_sha256: str


def make_bundle(source: Path, key: OKPKey, out: Path) -> Made:
    """Make the bundle of the node in ``source`` as ``out``, with ``out``.sig and ``out``.pem beside it.

    Args:
        source: Datalab's source, or a folder with its wheel; ``requirements.lock`` is in it.
        key: private; signs the bundle.
        out: where the bundle goes.

    Raises:
        DatalabError: something it needs is missing, cannot be fetched, or is not as the lock says.
    """
    lock = read_lock(source / LOCK)
    with TemporaryDirectory(prefix="datalab-bundle-") as temporary:
        folder = Path(temporary) / "wheels"
        folder.mkdir()
        metadata = read_metadata(own_wheel(source, folder))
        version = str(metadata["Version"])
        if not re.fullmatch(install.VERSION, version):
            raise BadInputError(
                f"Datalab {version} is not a release, and a node goes from release to release.",
                next_step='Give it a version of numbers and dots, as in "0.2.0".',
            )
        requires = [str(line) for line in metadata.get_all("Requires-Dist") or []]
        packages = closure(requires, EXTRA, lock)
        fetch(packages, folder)
        wheels = {f"wheels/{wheel.name}": wheel.read_bytes() for wheel in folder.iterdir()}
    own = Locked(
        name=canonicalize_name(str(metadata["Name"])),
        version=version,
        hashes=(),
        requires=direct(requires, EXTRA),
        licence=str(metadata["License-Expression"]),
    )
    checksums = {str(parse_wheel_filename(Path(name).name)[0]): sha256_hex(data) for name, data in wheels.items()}
    data = archive(
        {
            "install.py": Path(install.__file__).read_bytes(),
            "sbom.cdx.json": bill_of_materials(own, packages, checksums).encode(),
            **wheels,
        },
        version=version,
    )
    return Made(version, len(wheels), len(data), publish(data, key, out))


def archive(files: Mapping[str, bytes], *, version: str) -> bytes:
    """Return ``files`` as one tar; its first entry, the manifest, has their checksums, and what the bundle is for."""
    manifest = {
        "format": install.FORMAT,
        "version": version,
        "python": ".".join(platform.python_version_tuple()[:2]),
        "machine": platform.machine(),
        "files": {name: sha256_hex(data) for name, data in files.items()},
    }
    entries = {install.MANIFEST: json.dumps(manifest, indent=2, sort_keys=True).encode(), **dict(sorted(files.items()))}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in entries.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def publish(data: bytes, key: OKPKey, out: Path) -> str:
    """Write a bundle, its signature (Ed25519, RFC 8032, of the whole file) and the public key (PEM).

    Returns:
        the key's fingerprint: SHA-256 of its SubjectPublicKeyInfo.

    Raises:
        NotWritableError: they cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    private = key.private_key
    assert isinstance(private, Ed25519PrivateKey)
    public = private.public_key()
    try:
        write_atomically(out, data, mode=0o644)
        write_atomically(out.with_name(f"{out.name}.sig"), private.sign(data), mode=0o644)
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        write_atomically(out.with_name(f"{out.name}.pem"), pem, mode=0o644)
    except OSError as error:
        raise NotWritableError(
            f"Cannot write the bundle to {out}: {error.strerror}.", next_step="Name another file with --out."
        ) from error
    return sha256_hex(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
