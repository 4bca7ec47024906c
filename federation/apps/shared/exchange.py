"""Asking every node the same question."""

from __future__ import annotations

from collections.abc import Sequence

from flwr.app import Message, MetricRecord, RecordDict
from flwr.serverapp import Grid


def ask(grid: Grid, nodes: Sequence[int], message_type: str, content: RecordDict) -> list[Message]:
    """Send the same question to every node and return the replies.

    Raises:
        RuntimeError: a node answered with an error, or did not answer.
    """
    messages = [Message(content, node, message_type) for node in nodes]
    replies = list(grid.send_and_receive(messages, timeout=600))
    if len(replies) < len(nodes) or any(reply.has_error() for reply in replies):
        reasons = [reply.error.reason for reply in replies if reply.has_error()]
        raise RuntimeError(f"{message_type}: {len(nodes) - len(replies)} nodes did not answer; errors: {reasons}")
    return replies


def metrics_of(reply: Message) -> MetricRecord:
    """Return the one metric record of a reply."""
    (record,) = reply.content.metric_records.values()
    return record
