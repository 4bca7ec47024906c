"""The embedded S3 server: ``weed mini`` of SeaweedFS on loopback, for one machine and for tests.

What is behind the S3 listener is closed too. SeaweedFS is a master, a volume server and a filer that talk
over HTTP and gRPC, and left alone each obeys whoever connects: ``/col/delete`` on the master drops a bucket.
Its ``security.toml`` therefore demands a client certificate on every listener but S3's; the one certificate
that they accept is made anew at each start and read by this user only. Its Unix sockets (in /tmp, which for
most is fixed) are this user's by umask. Keys for its internal tokens would add nothing to that; alone, they
leave the master's HTTP open. ``-disableHttp`` alone leaves status pages and the whole of gRPC.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datalab.errors import NotInstalledError, ServiceFailedError
from datalab.home import Home, write_atomically
from datalab.service import check_port, free_ports, run_service
from datalab.settings import load_settings
from datalab.storage.access import BUCKET, GRANTS, LANDING, REGION, credentials
from datalab.storage.certificate import make_certificate

LOOPBACK = "127.0.0.1"
READY_TIMEOUT = 30.0
STOP_TIMEOUT = 2.0
"""Seconds. S3 and the filer end within 1.3; the volume server would wait 30 for idle connections to close."""
_POLL = 0.01
_INTERNAL = (
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
)
_SHELL = ("master", "filer")
"""Listeners that the server's shell talks to, by gRPC with a certificate (``datalab.storage.compaction``)."""
_COMPONENTS = ("master", "volume", "filer", "s3", "admin", "worker", "client")
_OFF = (
    "-master.telemetry=false",
    "-s3.autoCreateBucket=false",
    "-s3.iam=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-webdav=false",
    "-admin.ui=false",
)

# Runs before the server in its process: that dies with this one however it ends; its files are this user's.
_SHIM = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit(0)
os.umask(0o077)
os.execv(sys.argv[2], sys.argv[2:])
"""


def main(home: Home) -> None:
    """Serve the bucket of ``home`` until told to stop.

    Raises:
        PortTakenError: another process listens on the port set for S3.
        NotInstalledError: the server's binary is missing.
        ServiceFailedError: the server did not start, or ended.
    """
    home = Home(home.path.absolute())  # the server works in a folder of its own
    port = load_settings(home).ports.object_store
    check_port("object-store", LOOPBACK, port)
    port = port or free_ports(LOOPBACK, 1)[0]
    endpoint = f"{LOOPBACK}:{port}"
    with _weed(home, port) as (weed, addresses):
        _make_buckets(endpoint, home, weed)
        home.announce("object-store", endpoint=endpoint, bucket=BUCKET, **addresses)
        try:
            code = weed.wait()
        finally:
            home.withdraw("object-store")
        raise ServiceFailedError(f"The object store's server ended by itself (exit code {code}).")


@contextmanager
def _weed(home: Home, port: int) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    """Start the server; yield it and where its own shell finds it. Leaving the context, by SIGTERM too, stops it."""
    binary = Path(sys.executable).parent / "weed"
    if not binary.exists():
        raise NotInstalledError("The embedded object store", "lab")
    data, private = home.folder("objects"), home.folder("secrets", "object-store")
    ports = _internal_ports()
    _write_configuration(home, private)
    command = [
        *(str(binary), "-logtostderr=true", f"-config_dir={private}", "mini", f"-dir={data}"),
        *(f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}", f"-s3.port={port}", f"-s3.config={private / 's3.json'}"),
        *(f"-{name}={number}" for name, number in ports.items()),
        *("-volume.preStopSeconds=0", *_OFF),
    ]
    weed = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _SHIM, str(os.getpid()), *command],
        cwd=data,
        stdin=subprocess.DEVNULL,
        # Nothing of the caller's environment: AWS_* would make further users, WEED_* change settings.
        env={"PATH": os.defpath, "HOME": str(private)},
    )
    try:
        yield weed, {name: f"{LOOPBACK}:{ports[f'{name}.port']}.{ports[f'{name}.port.grpc']}" for name in _SHELL}
    finally:
        _stop(weed)
        for number in (port, *ports.values()):
            for socket in Path("/tmp").glob(f"seaweedfs-*-{number}.sock"):  # noqa: S108 - SeaweedFS chose it
                socket.unlink(missing_ok=True)


def _internal_ports() -> dict[str, int]:
    """Choose a port for each internal listener.

    SeaweedFS has a worker that looks for the admin server's gRPC 10,000 above its HTTP, whatever was set.
    """
    free = free_ports(LOOPBACK, 40)
    admin = next(one for one in free if one + 10_000 <= 65_535 and one + 10_000 not in free)
    free.remove(admin)
    return {
        **dict(zip(_INTERNAL, free, strict=False)),
        "admin.port": admin,
        "admin.port.grpc": admin + 10_000,
    }


def _stop(weed: subprocess.Popen[bytes]) -> None:
    weed.terminate()
    try:
        weed.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        weed.kill()
        weed.wait()


def _make_buckets(endpoint: str, home: Home, weed: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers, and make the buckets that are not there."""
    # Imported while the server starts.
    from minio import Minio
    from minio.error import MinioException
    from urllib3 import PoolManager
    from urllib3.exceptions import HTTPError

    impatient = PoolManager(retries=False, timeout=2.0)
    client = Minio(endpoint, *credentials(home, "lab"), secure=False, region=REGION, http_client=impatient)
    deadline = time.monotonic() + READY_TIMEOUT
    while weed.poll() is None:
        try:
            for bucket in (BUCKET, LANDING):
                if not client.bucket_exists(bucket):
                    client.make_bucket(bucket, object_lock=bucket == LANDING)
            return
        except (MinioException, HTTPError) as error:
            if time.monotonic() > deadline:
                raise ServiceFailedError(
                    f"The object store's server did not answer within {READY_TIMEOUT:.0f} seconds."
                ) from error
        time.sleep(_POLL)
    raise ServiceFailedError(
        f"The object store's server did not start (exit code {weed.returncode}).",
        next_step=f"See why in {home.log_file('object-store')}.",
    )


def _write_configuration(home: Home, private: Path) -> None:
    identities = [
        {
            "name": user,
            "credentials": [dict(zip(("accessKey", "secretKey"), credentials(home, user), strict=True))],
            "actions": list(grants),
        }
        for user, grants in GRANTS.items()
    ]
    write_atomically(private / "s3.json", json.dumps({"identities": identities}).encode())
    certificate, key = make_certificate(LOOPBACK)
    write_atomically(private / "certificate.pem", certificate)
    write_atomically(private / "key.pem", key)
    write_atomically(private / "security.toml", _security(private / "certificate.pem", private / "key.pem"))


def _security(certificate: Path, key: Path) -> bytes:
    """Return a ``security.toml`` under which every internal connection has a certificate at both ends."""
    authority, pair = {"ca": str(certificate)}, {"cert": str(certificate), "key": str(key)}
    sections: dict[str, dict[str, str | bool]] = {"grpc": {**authority}}
    sections |= {f"grpc.{one}": {**pair} for one in _COMPONENTS}
    sections |= {f"https.{one}": {**pair, **authority} for one in ("master", "volume", "filer", "admin")}
    sections["https.client"] = {"enabled": True, **pair, **authority}
    lines = [
        line
        for section, values in sections.items()
        for line in (f"[{section}]", *(f"{name} = {json.dumps(value)}" for name, value in values.items()))
    ]
    return "\n".join(lines).encode()


if __name__ == "__main__":
    run_service(main)
