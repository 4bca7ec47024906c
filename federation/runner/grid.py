"""Datalab's implementation of Flower's ``Grid``: pushed to the nodes over the gateway, nothing polled."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from flwr.app import DEFAULT_TTL, Error, Message, RecordDict
from flwr.serverapp import Grid

from federation.errors import RunFailedError, WireError
from federation.flower import seam
from federation.flower.records import Encoder, check_reply, decode_records
from federation.pb import federation_pb2 as pb
from federation.runner.link import Link


class Observer(Protocol):
    """Told about every batch of messages once its replies are in."""

    def __call__(self, *, sent: Sequence[Message], replies: Sequence[pb.Reply], seconds: float) -> None:
        """Take note; ``replies`` are in the order of node ids."""


class DatalabGrid(Grid):
    """The nodes of one run, as a ServerApp sees them.

    Node ids come from node names; they are the run's nodes, in ascending order, whether connected or not. Replies come
    in the order of node ids, so that sums do not depend on who was faster.

    Args:
        run_id: the run.
        nodes: names of the nodes that accepted it.
        link: the stream to the gateway.
        observe: told about each batch.
    """

    def __init__(self, run_id: str, nodes: Iterable[str], link: Link, observe: Observer) -> None:
        self._run_id = run_id
        self._nodes = {seam.flower_id(name): name for name in nodes}
        self._link = link
        self._observe = observe
        self._sent: dict[str, Message] = {}
        self._run = seam.empty_run(run_id)
        self._count = 0

    def set_run(self, run: seam.Run) -> None:
        """Flower calls this where it starts a run itself; here the run is known from the beginning."""
        self._run = run

    @property
    def run(self) -> seam.Run:
        """The run, as Flower describes it."""
        return self._run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Return a new message (apps of Flower's current generation construct ``Message`` themselves)."""
        return Message(content, dst_node_id, message_type, group_id=group_id, ttl=ttl or DEFAULT_TTL)

    def get_node_ids(self) -> Iterable[int]:
        """Return the run's node ids in ascending order."""
        return sorted(self._nodes)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages and return the ids under which their replies can be pulled.

        Raises:
            RunFailedError: a message is for a node outside the run, or holds what the wire does not carry.
        """
        encoder = Encoder(self._link.put)
        tasks = []
        for message in messages:
            self._count += 1
            task_id = f"{self._count:08d}"
            self._sent[task_id] = seam.with_id(message, task_id)
            tasks.append(self._task(task_id, message, encoder))
        self._link.push(tasks)
        return [task.task_id for task in tasks]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that have come, in the order of node ids."""
        return self._messages(self._link.pull(list(message_ids)))

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send messages and return their replies in the order of node ids, as many as come within ``timeout`` seconds.

        Raises:
            RunFailedError: the gateway is gone, or every reply is an error.
        """
        started = time.perf_counter()
        task_ids = list(self.push_messages(messages))
        sent = [self._sent[task_id] for task_id in task_ids]
        replies = self._link.wait(task_ids, timeout)
        for task_id in task_ids:
            if task_id not in replies:
                self._sent.pop(task_id)
        in_order = sorted(replies.values(), key=lambda reply: seam.flower_id(reply.node))
        messages = self._messages(replies)  # first, because it marks the replies that it refuses
        seconds = time.perf_counter() - started
        self._observe(sent=sent, replies=in_order, seconds=seconds)
        if messages and all(message.has_error() for message in messages):
            reasons = sorted({message.error.reason or "" for message in messages})
            raise RunFailedError("Every node answered with an error.", where="; ".join(reasons)[:2000])
        return messages

    def _task(self, task_id: str, message: Message, encoder: Encoder) -> pb.Task:
        metadata = message.metadata
        if metadata.dst_node_id not in self._nodes:
            raise RunFailedError("The app sent a message to a node that does not take part in the run.")
        try:
            content = encoder.encode(message.content)
        except WireError as error:
            raise RunFailedError(f"The app sent something that the wire does not carry: {error.what}") from error
        return pb.Task(
            run_id=self._run_id,
            task_id=task_id,
            node=self._nodes[metadata.dst_node_id],
            message_type=metadata.message_type,
            group_id=metadata.group_id,
            content=content,
            ttl=metadata.ttl,
        )

    def _messages(self, replies: dict[str, pb.Reply]) -> list[Message]:
        in_order = sorted(replies.values(), key=lambda reply: (seam.flower_id(reply.node), reply.task_id))
        answered = [(reply, self._sent.pop(reply.task_id)) for reply in in_order]
        return [seam.reply_to(sent, self._content(reply, sent.content)) for reply, sent in answered]

    def _content(self, reply: pb.Reply, sent: RecordDict) -> RecordDict | Error:
        """Return what a node has replied; what no strategy could use is refused, and the run goes on without it."""
        if reply.WhichOneof("result") == "content":
            try:
                content = decode_records(reply.content, self._link.read)
                check_reply(sent, content)
                return content
            except WireError as error:
                self._link.refuse(reply, error.what)
                reply.error.CopyFrom(pb.TaskError(code=pb.TASK_ERROR_CODE_BAD_REPLY, message=error.what))
        return Error(code=int(reply.error.code), reason=f"{reply.node}: {reply.error.message}")


def metrics_of(reply: pb.Reply) -> dict[str, Any]:
    """Return the scalar metrics of a reply by name (they leave the node anyway, for the strategy to aggregate)."""
    found: dict[str, Any] = {}
    for record in reply.content.entries:
        for entry in record.metric_record.entries:
            kind = entry.WhichOneof("value")
            if kind in ("integer", "double"):
                found[entry.key] = getattr(entry, kind)
    return found
