"""Runs the messages of one run through an unmodified ClientApp, with seeds that depend on run, node and round alone."""

from __future__ import annotations

import sys
import time

from flwr.clientapp import ClientApp

from federation.flower import seam
from federation.flower.apps import load, round_of, seed_everything
from federation.flower.records import decode_records, encode_records
from federation.pb import federation_pb2 as pb
from federation.pb import records_pb2, worker_pb2
from federation.wire.buffers import BufferStore, StoredBuffer
from federation.wire.values import decode_config


class Executor:
    """One run's ClientApp and its context.

    Args:
        start: what to load, and the run's configuration.
        inbox: buffers received.
        outbox: buffers for the agent to send.

    Raises:
        BundleError: the app has no ClientApp where its description says.
    """

    def __init__(self, start: worker_pb2.WorkerStart, inbox: BufferStore, outbox: BufferStore) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._run_id = start.run_id
        self._node = start.node
        self._seed = start.seed
        self._node_id = seam.flower_id(start.node)
        self.app_seconds = 0.0
        seam.identify(start.run_id, self._node_id)
        self._context = seam.make_context(
            start.run_id,
            self._node_id,
            node_config=decode_config(start.node_config),
            run_config=decode_config(start.run_config),
        )
        sys.path.insert(0, start.app_folder)
        seed_everything(start.seed, start.node, "import")
        self._app = load(start.client_app, ClientApp)
        self._context.state = decode_records(start.state, self._read)
        self._state = start.state.SerializeToString(deterministic=True)

    def run(self, task: pb.Task) -> records_pb2.RecordDict:
        """Return the app's reply to ``task``.

        Raises:
            WireError: task or reply hold something that the wire does not carry.
            Exception: whatever the app raises.
        """
        self.app_seconds = 0.0
        message = seam.instruction(
            decode_records(task.content, self._read),
            run_id=self._run_id,
            node_id=self._node_id,
            message_id=task.task_id,
            message_type=task.message_type,
            group_id=task.group_id,
            ttl=task.ttl,
        )
        seed_everything(self._seed, self._node, task.message_type, round_of(message))
        started = time.perf_counter()
        reply = self._app(message, self._context)
        self.app_seconds = time.perf_counter() - started
        return encode_records(reply.content, self._outbox.add)

    def changed_state(self) -> records_pb2.RecordDict | None:
        """Return ``Context.state``, or None if it is as it was the last time, or at the start.

        Raises:
            WireError: it holds something that the wire does not carry.
        """
        if not self._context.state and not self._state:
            return None
        state = encode_records(self._context.state, self._outbox.add)
        encoded = state.SerializeToString(deterministic=True)
        if encoded == self._state:
            return None
        self._state = encoded
        return state

    def _read(self, sha256: bytes) -> StoredBuffer:
        return StoredBuffer(self._inbox.path(sha256))
