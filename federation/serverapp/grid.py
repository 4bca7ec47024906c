"""Datalab's implementation of Flower's ``Grid``: pushed to the nodes over runner and gateway, nothing polled."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from flwr.app import DEFAULT_TTL, Error, Message, RecordDict
from flwr.serverapp import Grid

from federation.errors import RunFailedError, WireError
from federation.flower import seam
from federation.flower.records import Encoder, decode_records
from federation.pb import federation_pb2 as pb
from federation.pb import records_pb2
from federation.serverapp.runner import Runner


class DatalabGrid(Grid):
    """The nodes of one run, as a ServerApp sees them.

    Node ids come from node names; they are the run's nodes in ascending order, connected or not, without those that
    have been away for so long that they are lost. Replies come in the order of node ids, so that sums do not depend on
    who was faster; the runner has checked them.

    Apps of Flower's older interface (``server_fn``) use it from threads, one for each node: each waits for its turn, so
    that their nodes work one after the other.

    Args:
        run_id: the run.
        nodes: names of the nodes that accepted it.
        runner: carries messages.
    """

    def __init__(self, run_id: str, nodes: Iterable[str], runner: Runner) -> None:
        self._nodes = {seam.flower_id(name): name for name in nodes}
        self._runner = runner
        self._sent: dict[str, Message] = {}
        self._run = seam.empty_run(run_id)
        self._count = 0
        self._turn = threading.RLock()

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
        """Return the run's node ids in ascending order.

        Raises:
            RunFailedError: the runner has gone; it ends a run whose app waits for nodes that do not come.
        """
        with self._turn:
            return sorted(seam.flower_id(name) for name in self._runner.nodes())

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages and return the ids under which their replies can be pulled.

        Raises:
            RunFailedError: a message is for a node outside the run, or holds what the wire does not carry.
        """
        with self._turn:
            return self._push(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that have come, in the order of node ids."""
        with self._turn:
            waiting = [one for one in message_ids if one in self._sent]
            return [self._reply(reply) for reply in self._runner.wait(waiting, poll=True)]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send messages and return their replies in the order of node ids, as many as come within ``timeout`` seconds.

        Raises:
            RunFailedError: as ``push_messages``, or the runner is gone; it ends the run itself where the gateway is
                gone or every reply is an error.
        """
        with self._turn:
            started = time.perf_counter()
            task_ids = self._push(messages)
            replies = [self._reply(reply) for reply in self._runner.wait(task_ids, timeout=timeout)]
            for task_id in task_ids:
                self._sent.pop(task_id, None)
            self._runner.batch_done(time.perf_counter() - started)
            return replies

    def _push(self, messages: Iterable[Message]) -> list[str]:
        encoder = Encoder(self._runner.put)
        task_ids = []
        batches: list[tuple[records_pb2.RecordDict, list[pb.Task]]] = []
        for message in messages:
            self._count += 1
            task_id = f"{self._count:08d}"
            task_ids.append(task_id)
            self._sent[task_id] = seam.with_id(message, task_id)
            content, task = self._encoded(message, encoder), self._task(task_id, message)
            if batches and batches[-1][0] is content:
                batches[-1][1].append(task)
            else:
                batches.append((content, [task]))
        for content, tasks in batches:
            self._runner.push(content, tasks)
        self._runner.batch_pushed()
        return task_ids

    def _encoded(self, message: Message, encoder: Encoder) -> records_pb2.RecordDict:
        try:
            return encoder.encode(message.content)
        except WireError as error:
            raise RunFailedError(f"The app sent something that the wire does not carry: {error.what}") from error

    def _task(self, task_id: str, message: Message) -> pb.Task:
        metadata = message.metadata
        if metadata.dst_node_id not in self._nodes:
            raise RunFailedError("The app sent a message to a node that does not take part in the run.")
        return pb.Task(
            task_id=task_id,
            node=self._nodes[metadata.dst_node_id],
            message_type=metadata.message_type,
            group_id=metadata.group_id,
            ttl=metadata.ttl,
        )

    def _reply(self, reply: pb.Reply) -> Message:
        content: RecordDict | Error
        if reply.WhichOneof("result") == "content":
            content = decode_records(reply.content, self._runner.read)
        else:
            content = Error(code=int(reply.error.code), reason=f"{reply.node}: {reply.error.message}")
        return seam.reply_to(self._sent.pop(reply.task_id), content)
