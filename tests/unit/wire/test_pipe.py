"""Frames between agent and worker: whole or refused."""

from __future__ import annotations

import asyncio
import contextlib
import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import WireError
from federation.pb import federation_pb2 as pb
from federation.pb import worker_pb2
from federation.wire.pipe import encode_frame, read_frame, read_frame_async
from federation.wire.protocol import MAX_FRAME_BYTES

TASK = worker_pb2.WorkerRequest(task=pb.Task(run_id="run-1", task_id="1", message_type="train"))


def stream(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


async def test_frames_arrive_one_after_the_other() -> None:
    data = encode_frame(TASK) * 2
    reader, file = stream(data), io.BytesIO(data)
    for _ in range(2):
        assert await read_frame_async(reader, worker_pb2.WorkerRequest) == TASK
        assert read_frame(file, worker_pb2.WorkerRequest) == TASK
    assert await read_frame_async(reader, worker_pb2.WorkerRequest) is None
    assert read_frame(file, worker_pb2.WorkerRequest) is None


@given(st.integers(1, len(encode_frame(TASK)) - 1))
def test_a_frame_that_is_cut_off_is_refused(length: int) -> None:
    data = encode_frame(TASK)[:length]
    with pytest.raises(WireError):
        read_frame(io.BytesIO(data), worker_pb2.WorkerRequest)
    with pytest.raises(WireError):
        asyncio.run(_read(data))


async def _read(data: bytes) -> None:
    await read_frame_async(stream(data), worker_pb2.WorkerRequest)


def test_an_oversize_frame_is_refused_before_it_is_read() -> None:
    with pytest.raises(WireError, match="limit"):
        read_frame(io.BytesIO(struct.pack(">I", MAX_FRAME_BYTES + 1)), worker_pb2.WorkerRequest)
    with pytest.raises(WireError, match="limit"):
        encode_frame(worker_pb2.WorkerStart(app_folder="x" * MAX_FRAME_BYTES))


@given(st.binary(max_size=200))
def test_any_bytes_give_a_frame_or_are_refused(data: bytes) -> None:
    with contextlib.suppress(WireError):
        read_frame(io.BytesIO(struct.pack(">I", len(data)) + data), worker_pb2.WorkerRequest)
