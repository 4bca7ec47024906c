"""GA4GH's Data Repository Service 1.5: the files that may be downloaded, as its clients ask for them.

An object is one file of one version, ``<dataset>.v<number>.<file>``; it never changes. Of data that does not leave the
lab there is no object. https://ga4gh.github.io/data-repository-service-schemas/
"""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Path, Request

from catalog import datasets, downloads, lifecycle
from catalog.lab import Lab
from catalog.permissions import Action
from catalog.records import AccountDraft, Version
from catalog.web.access import Allowed, TheLab
from catalog.web.guard import DRS
from datalab import __version__
from datalab.errors import NotFoundError

router = APIRouter(prefix=DRS, tags=["GA4GH DRS"])
ACCESS = "https"
"""The one way of access: a short-lived address, given out by ``/access``."""
_ID = re.compile(r"([a-z0-9-]{1,64})\.v([1-9][0-9]{0,6})\.(0|[1-9][0-9]{0,3})")
_Id = Annotated[str, Path(max_length=200)]
_Account = Annotated[AccountDraft, Depends(Allowed(Action.VERSION_DOWNLOAD))]


@router.get("/service-info")
def service_info(request: Request) -> dict[str, Any]:
    """Say what this service is; needs no account."""
    url = request.app.state.url
    return {
        "id": ".".join(reversed((urlsplit(url).hostname or "").split("."))),
        "name": "Datalab",
        "type": {"group": "org.ga4gh", "artifact": "drs", "version": "1.5.0"},
        "organization": {"name": "Datalab", "url": url},
        "version": __version__,
        "maxBulkRequestLength": 0,  # nothing is asked for in bulk
        "drs": {"maxBulkRequestLength": 0},
    }


@router.get("/objects/{object_id}")
def read(account: _Account, object_id: _Id, lab: TheLab, request: Request) -> dict[str, Any]:
    """Return what a file is: size, checksum, and how to get it."""
    version, file = _find(lab, object_id, account)
    stored = version.files[file]
    return {
        "id": object_id,
        "name": f"{version.dataset}-v{version.number}-{file}.parquet",
        "self_uri": f"drs://{urlsplit(request.app.state.url).netloc}/{object_id}",
        "size": stored.bytes,
        "created_time": version.created.isoformat(),
        "version": str(version.number),
        "mime_type": "application/vnd.apache.parquet",
        "checksums": [{"type": "sha-256", "checksum": stored.sha256}],
        "access_methods": [
            {
                "type": "https",
                "access_id": ACCESS,
                "authorizations": {"supported_types": ["BearerAuth", "BasicAuth"]},
            }
        ],
    }


@router.get("/objects/{object_id}/access/{access_id}")
def access(account: _Account, object_id: _Id, access_id: _Id, lab: TheLab) -> dict[str, str]:
    """Return an address that is good for a minute; that it was given out is on record."""
    version, file = _find(lab, object_id, account)
    if access_id != ACCESS:
        raise _unknown(object_id)
    return {"url": downloads.download_address(lab.store, lab.objects, version, file, account)}


def _find(lab: Lab, object_id: str, account: AccountDraft) -> tuple[Version, int]:
    """Return the version and the number of a file that an account may download; NotFoundError for any other."""
    if (found := _ID.fullmatch(object_id)) is None:
        raise _unknown(object_id)
    dataset = lifecycle.read(lab.store, found[1], account)
    downloads.check_download(dataset, account)
    version = datasets.version(lab.store, found[1], int(found[2]))
    lifecycle.check_usable(dataset, version)
    if int(found[3]) >= len(version.files):
        raise _unknown(object_id)
    return version, int(found[3])


def _unknown(object_id: str) -> NotFoundError:
    return NotFoundError(
        f"There is no object {object_id}.",
        next_step="Objects are DATASET.vNUMBER.FILE, of data that may be downloaded.",
    )
