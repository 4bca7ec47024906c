"""The federation's nodes: how they are; and for the operator inviting, approving and revoking them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from catalog.permissions import Action
from catalog.records import Slug
from catalog.web.pages.language import mark
from catalog.web.pages.page import Form, Page, Shown
from datalab.errors import BadInputError, IdentityError, NotFoundError

router = APIRouter(prefix="/nodes")
Reader = Annotated[Page, Depends(Shown(Action.NODE_READ))]
Manager = Annotated[Page, Depends(Shown(Action.NODE_MANAGE, decision=True))]
NodeName = Annotated[Slug, Path()]
SOON = timedelta(days=2)
"""Before a certificate ends: a node that is connected has renewed it by then."""
_NAME = mark("Small letters, digits and inner hyphens, such as rotterdam-1; at most 63.")
_ORGANISATION = mark("An invitation needs the name of the organisation, and its country.")
_OTHER_KEY = mark(
    "The key that waits is another one. Compare again; if they differ, somebody else used the token: revoke it."
)
_NO_GATEWAY = mark("The gateway does not run, so there is no address that the token could name. Start the lab first.")


@router.get("")
def listing(page: Reader) -> Response:
    """Show the nodes, and what waits for the operator."""
    from federation import client  # gRPC: loaded where it is needed

    manages = page.may(Action.NODE_MANAGE)
    return page.show(
        "nodes.html",
        nodes=client.nodes(page.lab.home),
        waiting=client.waiting_nodes(page.lab.home) if manages else [],
        details=page.may(Action.NODE_DETAILS),
        manages=manages,
        moment=datetime.now(UTC),
        soon=SOON,
    )


@router.get("/invite")
def invite_form(page: Manager, name: str = "", organisation: str = "", country: str = "") -> Response:
    """Ask whom to invite."""
    values = {"name": name[:64], "organisation": organisation[:200], "country": country[:2]}
    return page.show("node_invite.html", values=values, problems={}, token="")


@router.post("/invite")
def invite(page: Manager, form: Form) -> Response:
    """Invite a node, and show its enrolment token this once."""
    from federation import client

    values = {field: form.get(field, "").strip() for field in ("name", "organisation", "country")}
    problems, token = {}, ""
    try:
        with page.lab.store.change(page.account.name) as change:
            token = client.invite_node(
                page.lab.home, values["name"], organisation=values["organisation"], country=values["country"]
            )
            change.event("node.invited", f"node/{values['name']}", organisation=values["organisation"])
    except IdentityError:
        problems = {"name": _NAME}
    except BadInputError:
        problems = {"organisation": _ORGANISATION}
    except NotFoundError:
        problems = {"name": _NO_GATEWAY}
    return page.show("node_invite.html", status=422 if problems else 200, values=values, problems=problems, token=token)


@router.get("/{node}/approve")
def approve_form(page: Manager, node: NodeName) -> Response:
    """Ask for the fingerprint that the node's own people see."""
    return _approval(page, node)


@router.post("/{node}/approve")
def approve(page: Manager, node: NodeName, form: Form) -> Response:
    """Approve the key of a node, if it is the one that its own people have told."""
    from federation import client

    told = "".join(form.get("key", "").lower().replace(":", "").split())
    try:
        with page.lab.store.change(page.account.name) as change:
            client.approve_node(page.lab.home, node, told)
            change.event("node.approved", f"node/{node}", key_sha256=told)
    except NotFoundError:
        return _approval(page, node, status=422, problem=_OTHER_KEY, told=told[:100])
    return page.go("/nodes?notice=node-approved")


@router.get("/{node}/revoke")
def revoke_form(page: Manager, node: NodeName) -> Response:
    """Ask whether a node is to be revoked."""
    return page.show("node_revoke.html", node=node)


@router.post("/{node}/revoke")
def revoke(page: Manager, node: NodeName) -> Response:
    """Revoke a node; its stream is cut at once."""
    from federation import client

    with page.lab.store.change(page.account.name) as change:
        client.revoke_node(page.lab.home, node)
        change.event("node.revoked", f"node/{node}")
    return page.go("/nodes?notice=node-revoked")


def _approval(page: Page, node: str, *, status: int = 200, problem: str = "", told: str = "") -> Response:
    from federation import client

    waiting = [one for one in client.waiting_nodes(page.lab.home) if one.name == node]
    if not waiting:
        raise NotFoundError(f"No key of the node {node} waits for approval.", next_step="See the list of nodes.")
    return page.show("node_approve.html", status=status, waiting=waiting, node=node, problem=problem, told=told)
