"""The lab server's web application."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.types import ASGIApp

from catalog.figures import Figures
from catalog.lab import Lab
from catalog.limits import Limits
from catalog.web import errors
from catalog.web.guard import API, Guard
from catalog.web.live import Streams
from catalog.web.pages.app import create_pages
from catalog.web.routes import (
    accounts,
    backups,
    datasets,
    drs,
    erasures,
    events,
    health,
    permits,
    processing,
    projects,
    register,
    requests,
    retention,
    runs,
    search,
    sources,
    standards,
    uploads,
    versions,
)
from datalab import __version__


def create_app(
    lab: Lab, *, url: str, streams: Streams, public_url: str | None = None, figures: Figures | None = None
) -> ASGIApp:
    """Return the application over an open lab: the JSON API, the pages, and the guard before both.

    Args:
        lab: the open lab.
        url: at which others reach it; the names of datasets in exports begin with it.
        streams: counts the pages that change by themselves, and ends them when the server stops.
        public_url: where people reach the pages, if it is not the address that a request names.
        figures: counts requests, where somebody asks for that.
    """
    limits = Limits()
    pages = create_pages(lab, public_url, streams, limits)
    return Guard(_create_api(lab, url), pages, lab.accounts, limits, figures)


def _create_api(lab: Lab, url: str) -> FastAPI:
    app = FastAPI(
        title="Datalab",
        version=__version__,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # both would load scripts from elsewhere
        redoc_url=None,
    )
    app.state.lab = lab
    app.state.url = url
    for part in (
        *(
            m.router
            for m in (
                *(health, datasets, standards, search, sources, uploads, versions, requests, projects),
                *(permits, register),
            )
        ),
        *(m.router for m in (runs, accounts, events, erasures, retention, processing, backups)),
    ):
        app.include_router(part, prefix=API)
    app.include_router(drs.router)
    errors.install(app)
    return app
