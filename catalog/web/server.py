"""The lab server process: ``python -m catalog.web.server --home HOME``."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from functools import partial

import uvicorn

from catalog.evidence import on_schedule
from catalog.figures import Figures
from catalog.lab import open_lab
from catalog.periodic import periodically
from catalog.shipping import Shipper
from catalog.store import now
from catalog.tracking.tracker import tracker
from catalog.web import launching
from catalog.web.app import create_app
from catalog.web.live import Streams
from datalab.home import Home
from datalab.metrics import serving
from datalab.service import check_port, run_service
from datalab.settings import load_settings
from datalab.storage.store import connect

_HOUR, _MINUTE = 3600.0, 60.0
_GRACE = 5
"""Seconds that requests in flight have to end once the server is told to stop."""


def main(home: Home) -> None:
    """Serve the catalog of ``home`` until told to stop.

    Raises:
        PortTakenError: another process listens on the port.
        NotFoundError: the object store is not running.
        CatalogInUseError: another lab server has the catalog open.
    """
    settings = load_settings(home)
    check_port("lab", settings.bind, settings.ports.lab)
    with ExitStack() as stack:
        lab = stack.enter_context(open_lab(home, connect(home)))
        listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        stack.enter_context(on_schedule(home, lab.store, settings.checkpoints, federation=settings.federation))
        stack.enter_context(periodically("retention", _HOUR, lambda: lab.keeper.carry_out(now())))
        stack.enter_context(periodically("clean-up", _HOUR, lab.publisher.reconcile))
        shipped, figures, announced = None, None, dict[str, str]()
        stack.enter_context(periodically("harvest", _MINUTE, lab.harvester.due))
        stack.callback(lab.harvester.close)  # before the thread above is waited for
        if settings.backup.folder is not None:
            shipper = Shipper(home, lab.store, lab.objects, lab.snapshot, settings.backup, settings.backup.folder)
            stack.enter_context(periodically("backup", settings.backup.every, shipper.ship, last=True))
            shipped = shipper.last
        if settings.metrics.lab is not None:
            figures = Figures(lab.store, lab.compute, shipped)
            announced = stack.enter_context(serving("lab server", figures.registry, settings.metrics.lab))
        copying = tracker(home, lab.store, lab.objects, settings.tracking, partial(launching.rounds, lab))
        if copying is not None:
            stack.enter_context(periodically("tracking", settings.tracking.every, copying.copy))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.bind, settings.ports.lab))
        host, port = listener.getsockname()
        url = f"http://{host}:{port}"
        streams = Streams()
        config = uvicorn.Config(
            create_app(
                lab,
                url=settings.public_url or url,
                streams=streams,
                public_url=settings.public_url,
                figures=figures,
            ),
            access_log=False,  # the guard logs accesses, with the account
            log_config=None,
            server_header=False,
            proxy_headers=bool(settings.proxies),
            forwarded_allow_ips=[str(one) for one in settings.proxies],
            lifespan="off",
            timeout_graceful_shutdown=_GRACE,
        )
        try:
            _Server(config, home, {"url": url, **announced}, streams).run(sockets=[listener])
        finally:
            home.withdraw("lab")


class _Server(uvicorn.Server):
    """Announces itself once it listens; ends what streams to pages when it is told to stop."""

    def __init__(self, config: uvicorn.Config, home: Home, announced: dict[str, str], streams: Streams) -> None:
        super().__init__(config)
        self._home = home
        self._announced = announced
        self._streams = streams

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._home.announce("lab", **self._announced)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._streams.close()
        await super().shutdown(sockets)


if __name__ == "__main__":
    run_service(main)
