"""The private parts of Flower that Datalab needs, all in one place; ``tests/unit/flower/test_seam.py`` is their test.

Flower has no public way to say which node a process is, to set a message's id, or to name a run. Everything else
that runner and worker use is public (``flwr.app``, ``flwr.serverapp``, ``flwr.clientapp``).
"""

from __future__ import annotations

import time

from flwr.app import Context, Error, Message, Metadata, RecordDict
from flwr.app.message.message import make_message
from flwr.supercore.run import Run as Run  # noqa: PLC0414 - handed on: Grid names it in its interface
from flwr.supercore.task_identity import TaskIdentity

from federation.run import flower_id as flower_id  # noqa: PLC0414 - handed on

SERVER_NODE_ID = 1
"""Flower's own id for the ServerApp's side."""


def identify(run_id: str, node_id: int) -> None:
    """Tell Flower in which run, and as which node, this process creates messages."""
    TaskIdentity.run_id = flower_id(run_id)
    TaskIdentity.node_id = node_id
    TaskIdentity.task_id = flower_id(run_id)


def empty_run(run_id: str) -> Run:
    """Return Flower's description of a run, as far as Datalab has what it wants to know."""
    return Run.create_empty(flower_id(run_id))


def make_context(
    run_id: str, node_id: int, *, node_config: dict[str, object], run_config: dict[str, object]
) -> Context:
    """Return the context that an app is called with."""
    return Context(
        run_id=flower_id(run_id),
        node_id=node_id,
        node_config=node_config,  # type: ignore[arg-type]  # checked on the wire: scalars only
        state=RecordDict(),
        run_config=run_config,  # type: ignore[arg-type]
    )


def with_id(message: Message, message_id: str) -> Message:
    """Return ``message`` under the id by which its reply will name it."""
    old = message.metadata
    return _message(
        Metadata(
            run_id=old.run_id,
            message_id=message_id,
            src_node_id=old.src_node_id,
            dst_node_id=old.dst_node_id,
            reply_to_message_id=old.reply_to_message_id,
            group_id=old.group_id,
            created_at=old.created_at,
            ttl=old.ttl,
            message_type=old.message_type,
        ),
        message.content if message.has_content() else None,
        message.error if message.has_error() else None,
    )


def instruction(
    content: RecordDict,
    *,
    run_id: str,
    node_id: int,
    message_id: str,
    message_type: str,
    group_id: str,
    ttl: float,
) -> Message:
    """Return an instruction from the ServerApp as the node's ClientApp receives it."""
    metadata = Metadata(
        run_id=flower_id(run_id),
        message_id=message_id,
        src_node_id=SERVER_NODE_ID,
        dst_node_id=node_id,
        reply_to_message_id="",
        group_id=group_id,
        created_at=time.time(),
        ttl=ttl,
        message_type=message_type,
    )
    return _message(metadata, content, None)


def reply_to(sent: Message, content: RecordDict | Error) -> Message:
    """Return a node's reply to ``sent`` as the strategy receives it."""
    return Message(content, reply_to=sent)


def _message(metadata: Metadata, content: RecordDict | None, error: Error | None) -> Message:
    metadata.delivered_at = ""  # as Message's own constructor does
    return make_message(metadata, content, error)
