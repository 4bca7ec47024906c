"""The lab server's web application."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI

from catalog.lab import Lab
from catalog.web import errors
from catalog.web.access import TheLab
from catalog.web.guard import API, Guard
from catalog.web.routes import accounts, datasets, events, permits, runs, search, standards, uploads, versions
from datalab import __version__

_health = APIRouter(tags=["health"])


@_health.get("/health")
def health(lab: TheLab) -> dict[str, str]:
    """Say that the server answers and its catalog works; needs no account."""
    lab.store.rows("SELECT 1")
    return {"status": "ok"}


def create_app(lab: Lab, *, url: str) -> FastAPI:
    """Return the application over an open lab that others reach at ``url``."""
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
        _health,
        *(m.router for m in (datasets, standards, search, uploads, versions, permits, runs, accounts, events)),
    ):
        app.include_router(part, prefix=API)
    errors.install(app)
    app.add_middleware(Guard, accounts=lab.accounts)
    return app
