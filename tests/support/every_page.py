"""Every page of the lab in each of its states, as tests and benchmarks go through them, and who looks at it.

A route that shows a page and is not here fails ``tests/unit/web/test_every_page.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi.routing import APIRoute
from starlette.routing import Match

from catalog.records import Role
from tests.unit.web.test_routes import every_page, method_of

NOT_PAGES = frozenset(
    {
        "/",
        "/sign-in/oidc",
        "/sign-in/oidc/callback",
        "/runs/{run}/clone",
        "/datasets/{dataset}/curation/{run}/live",
        "/datasets/{dataset}/curation/{run}/rejects",
        "/datasets/{dataset}/versions/{number}/files/{file}",
        "/datasets/{dataset}/processing/{form}",
        "/requests/{request}/claims",
        "/runs/{run}/live",
        "/runs/{run}/files",
        "/runs/{run}/log",
        "/audit/export",
    }
)
"""Routes that answer GET with another address, a stream or a file."""


@dataclass(frozen=True)
class Place:
    """A page in one state.

    Attributes:
        name: of its screenshot.
        role: whoever looks at it; None is somebody who is not signed in, or half.
        address: with the names of ``tests.support.filled.Filled`` in it.
        status: with which it answers.
    """

    name: str
    role: Role | None
    address: str
    status: int = 200

    def at(self, names: Mapping[str, str]) -> str:
        """Return its address in a lab."""
        return self.address.format_map(names)


def _of(role: Role | None, places: Mapping[str, str], *, status: int = 200) -> tuple[Place, ...]:
    return tuple(Place(name, role, address, status) for name, address in places.items())


NOBODY = _of(
    None,
    {
        "sign-in": "/sign-in",
        "signed-out": "/sign-in?notice=signed-out",
        "password": "/password",
        "accessibility": "/accessibility",
        "public-register": "/public-register",
    },
)
HALF = _of(None, {"code": "/sign-in/code"})
"""What is seen between the password and the second factor."""
STEWARD = _of(
    Role.STEWARD,
    {
        "register": "/register",
        "register-begun": "/register/{begun}/file",
        "register-file": "/register/{draft}/file",
        "register-columns": "/register/{draft}/columns",
        "register-identifying": "/register/{identifying}/columns",
        "register-description": "/register/{draft}/description",
        "register-terms": "/register/{draft}/terms",
        "register-review": "/register/{draft}/review",
        "register-site-description": "/register/{at_site}/description",
        "curations": "/datasets/incidence/curation",
        "curations-none": "/datasets/gbsg/curation",
        "curation-published": "/datasets/incidence/curation/{incidence_run}",
        "curation-failed": "/datasets/broken/curation/{broken_run}",
        "register-tried": "/register/{broken_draft}/file",
        "unpublished": "/unpublished",
        "edit": "/datasets/gbsg/edit",
        "state": "/datasets/gbsg/state",
        "withdraw-version": "/datasets/gbsg/versions/1/withdraw",
        "steward-dataset": "/datasets/gbsg?notice=changed",
        "steward-quality": "/datasets/incidence/quality",
        "lineage": "/datasets/incidence/lineage",
        "steward-access": "/datasets/gbsg/access",
        "inbox": "/requests",
        "inbox-decided": "/requests?show=decided",
        "steward-request": "/requests/{asked}",
        "return": "/requests/{asked}/return",
        "answer": "/requests/{statistic}/answer",
    },
)
RESEARCHER = _of(
    Role.RESEARCHER,
    {
        "datasets": "/datasets",
        "datasets-filtered": "/datasets?q=cancer&access=restricted",
        "datasets-none": "/datasets?q=nothing-is-like-this",
        "dataset": "/datasets/gbsg",
        "dataset-open": "/datasets/atlas",
        "dataset-closed": "/datasets/closed",
        "dataset-at-site": "/datasets/{toy}",
        "schema": "/datasets/incidence/schema",
        "schema-none": "/datasets/rotterdam/schema",
        "profile": "/datasets/incidence/profile",
        "profile-none": "/datasets/rotterdam/profile",
        "quality": "/datasets/incidence/quality",
        "quality-none": "/datasets/rotterdam/quality",
        "lineage-none": "/datasets/gbsg/lineage",
        "versions": "/datasets/gbsg/versions",
        "versions-open": "/datasets/atlas/versions",
        "versions-none": "/datasets/rotterdam/versions",
        "compare": "/datasets/gbsg/compare",
        "access": "/datasets/{toy}/access",
        "request-new": "/requests/new?dataset=gbsg",
        "requests": "/requests",
        "requests-drafts": "/requests?show=drafts",
        "request": "/requests/{asked}",
        "request-returned": "/requests/{returned}",
        "request-edit": "/requests/{written}/edit",
        "request-withdraw": "/requests/{asked}/withdraw",
        "projects": "/projects",
        "project": "/projects/{project}",
        "permits": "/permits",
        "permit": "/permits/{permit}",
        "launch": "/launch",
        "launch-data": "/launch?app={app}",
        "launch-parameters": "/launch?app=logistic&permit={permit}&dataset={toy}",
        "launch-review": "/launch?app={app}&permit={permit}&dataset={toy}&step=review",
        "runs": "/runs",
        "run-running": "/runs/{run_running}",
        "run-stopped": "/runs/{run_stopped}",
        "run-held": "/runs/{run_held}",
        "run": "/runs/{run_finished}",
        "compare-runs": "/runs/compare?run={run_finished}&run={run_running}",
        "compare-none": "/runs/compare",
        "model-card": "/runs/{run_finished}/model-card",
        "documentation": "/runs/{run_finished}/documentation",
        "training-content": "/runs/{run_finished}/training-content",
        "compute": "/compute",
        "nodes-others": "/nodes",
        "account": "/account",
        "second-factor": "/account/second-factor?notice=needed",
    },
)
ACCESS_BODY = _of(
    Role.ACCESS_BODY,
    {
        "body-inbox": "/requests",
        "body-request": "/requests/{asked}",
        "approve": "/requests/{asked}/approve",
        "reject": "/requests/{asked}/reject",
        "sign": "/requests/{approved}/sign",
        "revoke": "/permits/{permit}/revoke",
        "releases": "/releases",
        "release": "/runs/{run_held}/release",
    },
)
OPERATOR = _of(
    Role.OPERATOR,
    {
        "nodes": "/nodes",
        "node-invite": "/nodes/invite",
        "node-approve": "/nodes/leiden/approve",
        "node-revoke": "/nodes/{node}/revoke",
        "accounts": "/accounts",
        "withdraw-account": "/accounts/rosa/withdraw",
        "activity": "/datasets/gbsg/activity",
        "audit": "/audit",
        "audit-none": "/audit?actor=nobody",
        "verification": "/audit/verification",
        "sources": "/sources",
        "source-remove": "/sources/portal/remove",
        "remote-entry": "/remote/{remote}",
        "run-waiting": "/runs/{run_waiting}",
    },
)
MISTAKEN = (
    *_of(Role.RESEARCHER, {"forbidden": "/audit"}, status=403),
    *_of(Role.RESEARCHER, {"not-found": "/datasets/nowhere"}, status=404),
    *_of(Role.RESEARCHER, {"not-valid": "/datasets?page=0"}, status=422),
)
SIGNED_IN = (*STEWARD, *RESEARCHER, *ACCESS_BODY, *OPERATOR, *MISTAKEN)
PLACES = (*NOBODY, *HALF, *SIGNED_IN)
EMPTY = (
    *_of(
        Role.RESEARCHER,
        {
            "empty-datasets": "/datasets",
            "empty-requests": "/requests",
            "empty-projects": "/projects",
            "empty-permits": "/permits",
            "empty-runs": "/runs",
            "empty-compute": "/compute",
            "empty-nodes": "/nodes",
            "empty-launch-data": "/launch?app=logistic",
        },
    ),
    *_of(
        Role.STEWARD, {"empty-inbox": "/requests", "empty-register": "/register", "empty-unpublished": "/unpublished"}
    ),
    *_of(Role.ACCESS_BODY, {"empty-releases": "/releases"}),
    *_of(Role.OPERATOR, {"empty-nodes-operator": "/nodes", "empty-sources": "/sources"}),
    *_of(None, {"empty-public-register": "/public-register"}),
)
"""Pages of a lab in which nothing is yet."""


def shown() -> set[str]:
    """Return the paths of the routes that show a page."""
    return {route.path for route in every_page() if method_of(route) == "GET"} - NOT_PAGES


def route_of(address: str) -> APIRoute | None:
    """Return the route that answers GET at an address."""
    scope = {"type": "http", "method": "GET", "path": address.partition("?")[0], "headers": []}
    return next((route for route in every_page() if route.matches(scope)[0] is Match.FULL), None)
