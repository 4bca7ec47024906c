"""Who may do what in the object store, and with which credentials: read by the server and by its clients."""

from __future__ import annotations

from typing import NamedTuple

from datalab.home import Home

BUCKET = "datalab"
REGION = "us-east-1"
"""Named so that the SDK does not ask the server for it, which takes a right of its own."""

GRANTS: dict[str, tuple[str, ...]] = {
    "lab": ("Admin",),
    "pipeline": ("Read:landing/*", "Read:staging/*", "Write:staging/*"),
    "compute": ("Read:data/*",),
    "runner": ("Write:runs/*",),
}
"""Least privilege by user: an action, alone or with the keys that it covers. Only the lab may list keys."""


class Credentials(NamedTuple):
    """What a client of the object store signs its requests with."""

    access_key: str
    secret_key: str


def credentials(home: Home, user: str) -> Credentials:
    """Return the random credentials of one user of ``GRANTS``, made when first asked for."""
    if user not in GRANTS:
        raise ValueError(f"the object store has no user {user!r}")
    return Credentials(home.secret(f"s3-{user}-access"), home.secret(f"s3-{user}-secret"))
