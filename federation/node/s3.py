"""A raw file in the holder's own object store: fetched once, into the node's home, under its digest."""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath

from datalab.errors import NotFoundError
from datalab.home import Home
from datalab.storage.store import ObjectStore
from federation.node.config import SiteDataset, load_secret_pair

FOLDER = "sources"


def fetch(home: Home, entry: SiteDataset) -> Path:
    """Return the raw file of a dataset, fetched from its object store: ``sources/<SHA-256>/<name>`` below the home.

    Raises:
        DatalabError: credentials or certificates are not usable, or the store does not give the file.
    """
    source = entry.s3
    assert source is not None
    bucket, _, key = entry.source.removeprefix("s3://").partition("/")
    scheme, _, endpoint = source.endpoint.rstrip("/").partition("://")
    pair = load_secret_pair(home.path / source.credentials, "access-key:secret-key", f"s3.credentials of {entry.id}")
    access_key, _, secret_key = pair.partition(":")
    ca_file = None if source.ca is None else home.path / source.ca
    if ca_file is not None and not ca_file.is_file():
        raise NotFoundError(
            "The certificates of the object store are not there.",
            where=str(ca_file),
            next_step=f"Correct s3.ca of {entry.id} in node.toml.",
        )
    store = ObjectStore(
        endpoint,
        access_key,
        secret_key,
        bucket,
        region=source.region,
        tls=scheme == "https",
        ca_file=ca_file,
        extra="s3",
    )
    folder = home.folder(FOLDER)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as scratch:
        arrived = Path(scratch, "object")
        sha256 = store.get_file(key, arrived).sha256
        assert sha256 is not None
        kept = home.folder(FOLDER, sha256) / PurePosixPath(key).name
        return arrived.replace(kept)
