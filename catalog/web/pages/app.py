"""The application that serves the pages."""

from __future__ import annotations

from fastapi import Depends, FastAPI

from catalog.lab import Lab
from catalog.limits import Limits
from catalog.web.live import Streams
from catalog.web.pages import (
    about,
    accounts,
    audit,
    cards,
    compute,
    curation,
    datasets,
    decisions,
    edit,
    errors,
    file,
    launch,
    lifecycle,
    nodes,
    oidc,
    permits,
    projects,
    releases,
    requests,
    runs,
    sign_in,
    sources,
    wizard,
)
from catalog.web.pages.page import same_origin
from catalog.web.pages.templates import STATIC, Assets, static_version

_SIGN_IN = (sign_in, oidc)
_REGISTER = (file, wizard, edit, curation)
_DATASETS = (lifecycle, datasets)
_ACCESS = (requests, decisions, projects, permits)
_RUNS = (launch, releases, cards, runs, compute, nodes)
_WORK = (*_REGISTER, *_DATASETS, *_ACCESS, *_RUNS)
ROUTERS = tuple(module.router for module in (*_SIGN_IN, *_WORK, sources, audit, accounts, about))


def create_pages(lab: Lab, public_url: str | None, streams: Streams, limits: Limits) -> FastAPI:
    """Return the pages over an open lab; nothing that changes something is taken from other sites' pages."""
    app = FastAPI(openapi_url=None, dependencies=[Depends(same_origin)], redirect_slashes=False)
    app.state.lab = lab
    app.state.public_url = public_url
    app.state.streams = streams
    app.state.limits = limits
    for router in ROUTERS:
        app.include_router(router)
    app.mount(f"/static/{static_version()}", Assets(directory=STATIC))
    errors.install(app)
    return app
