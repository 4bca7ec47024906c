"""Shared core: domain terms, settings, permits, audit, storage, curation, the command line and the supervisor.

It imports none of the other packages; see docs/adr/0002-packages-and-import-rules.md.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def connect(url: str, token: str | None = None, **settings: Any) -> Any:
    """Return a lab, to find data in and to read what may leave it: ``catalog.sdk.Lab``, which takes the same arguments.

    Raises:
        NotInstalledError: the package that knows the catalog is not installed, as on a node.
    """
    from importlib.metadata import entry_points  # a node never connects, and is to stay light

    from datalab.errors import NotInstalledError

    for found in entry_points(group="datalab.clients", name="lab"):
        return found.load()(url, token, **settings)
    raise NotInstalledError("A lab's client", "lab")
