"""Who may do what in the object store, and with which credentials: read by the server and by its clients."""

from __future__ import annotations

from typing import NamedTuple

from datalab.home import Home

BUCKET = "datalab"
LANDING = "datalab-landing"
"""The bucket of raw files, which has versions and object locks. What lies there is encrypted."""
JOURNALS = "journals"
"""Below it lie the journals of runs that go on, encrypted (``federation.shipped``)."""
REGION = "us-east-1"
"""Named so that the SDK does not ask the server for it, which takes a right of its own."""

GRANTS: dict[str, tuple[str, ...]] = {
    "lab": ("Admin",),
    "pipeline": (f"Read:{LANDING}/*", f"Read:{BUCKET}/staging/*", f"Write:{BUCKET}/staging/*"),
    "compute": (f"Read:{BUCKET}/data/*",),
    "runner": (f"Write:{BUCKET}/runs/*", f"Write:{BUCKET}/{JOURNALS}/*"),
    "scheduler": (f"Read:{BUCKET}/{JOURNALS}/*",),
}
"""Least privilege by user: an action, alone or with the bucket and keys that it covers. Only the lab may list keys."""


class Credentials(NamedTuple):
    """What a client of the object store signs its requests with."""

    access_key: str
    secret_key: str


def credentials(home: Home, user: str) -> Credentials:
    """Return the random credentials of one user of ``GRANTS``, made when first asked for."""
    if user not in GRANTS:
        raise ValueError(f"the object store has no user {user!r}")
    return Credentials(home.secret(f"s3-{user}-access"), home.secret(f"s3-{user}-secret"))
