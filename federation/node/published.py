"""What the lab has published, as its own compute nodes ask for it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from datalab.errors import BadInputError, NotFoundError, ServiceFailedError
from datalab.home import Home
from federation.node.config import NodeConfig, SiteDataset

_TIMEOUT = 30.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def lab_of(home: Home, config: NodeConfig) -> Home:
    """Return the lab that a compute node reads from.

    Raises:
        BadInputError: ``node.toml`` names none.
    """
    if config.lab_home is None:
        raise BadInputError("A dataset held in the lab needs lab_home in node.toml.", where=str(home.path))
    return Home(Path(config.lab_home))


def published_file(home: Home, config: NodeConfig, entry: SiteDataset) -> dict[str, Any]:
    """Return key and SHA-256 of the file of a published version, as it is now: people may have been taken out of it.

    Raises:
        NotFoundError: the lab is not running, or does not give this version to this node.
        ServiceFailedError: the lab server does not answer.
        BadInputError: the version has several files.
    """
    lab = lab_of(home, config)
    request = urllib.request.Request(  # noqa: S310 - the lab has announced an http address
        f"{lab.address('lab')['url']}/api/v1/datasets/{entry.id}/versions/{entry.version}/files",
        headers={"Authorization": f"Bearer {lab.secret('token-compute')}"},
    )
    try:
        with _DIRECT.open(request, timeout=_TIMEOUT) as answer:
            files = json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        raise NotFoundError(
            f"The lab does not give {entry.id} version {entry.version} to this node (HTTP {error.code}).",
            next_step="Is the version published?",
        ) from error
    except OSError as error:
        raise ServiceFailedError("The lab server does not answer.", where=str(lab.path)) from error
    if len(files) != 1:
        raise BadInputError(f"{entry.id} version {entry.version} has {len(files)} files; a node reads one.")
    found: dict[str, Any] = files[0]
    return found
