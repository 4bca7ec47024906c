"""Tells the catalog what nodes announce, through the lab's API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from catalog.client import lab_client
from catalog.records import Announcement
from datalab.curation.report import CurationReport
from datalab.errors import DatalabError
from datalab.home import Home
from federation.pb import federation_pb2 as pb

log = structlog.get_logger()


def announcer(home: Home) -> Callable[[str, pb.DatasetAnnouncement], Awaitable[None]]:
    """Return a function that records a node's announcement of a dataset that it holds itself.

    One that is malformed, or that the catalog refuses (no such dataset, another node's), is logged, and the node is not
    held up: what it may train on is its own policy's affair.
    """

    async def announce(node: str, announcement: pb.DatasetAnnouncement) -> None:
        if not announcement.held_here:
            return
        try:
            report = CurationReport.model_validate_json(announcement.report_json)
            said = Announcement(node=node, version=announcement.version, report=report)
            await asyncio.to_thread(_record, home, announcement.id, said)
        except ValueError:
            log.warning("announcement is not a curation report", node=node, dataset=announcement.id[:64])
        except DatalabError as error:
            log.warning("announcement not recorded", node=node, dataset=announcement.id[:64], error=str(error))

    return announce


def _record(home: Home, dataset: str, announcement: Announcement) -> None:
    with lab_client(home, "gateway") as lab:
        lab.announce(dataset, announcement)
