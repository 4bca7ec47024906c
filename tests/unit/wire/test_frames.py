"""Frames as they are sent: what is put together by hand is what protobuf reads; small ones go together in order."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.pb import federation_pb2 as pb
from federation.wire.frames import PACKED_BYTES, chunk_frame, frame_of, packed

KINDS = [pb.ConnectRequest, pb.ConnectResponse, pb.ConductRequest, pb.ConductResponse]


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.binary(max_size=40_000), offset=st.integers(0, 2**40), size=st.integers(0, 2**40))
def test_a_chunk_reads_as_it_would_if_protobuf_had_written_it(
    kind: type[pb.ConnectRequest], data: bytes, offset: int, size: int
) -> None:
    head = pb.Chunk(run_id="run", sha256=b"\1" * 32, offset=offset, size=size)
    whole = pb.Chunk()
    whole.CopyFrom(head)
    whole.data = data
    assert kind.FromString(chunk_frame(kind, head, memoryview(data))) == kind(chunk=whole)


@pytest.mark.parametrize("kind", [pb.ConnectResponse, pb.ConductRequest])
@given(node=st.text(max_size=300))
def test_a_frame_reads_as_it_would_if_its_message_had_been_copied_into_it(
    kind: type[pb.ConductRequest], node: str
) -> None:
    task = pb.Task(node=node, task_id="1")
    assert kind.FromString(frame_of(kind, "task", task)) == kind(task=task)


@given(st.lists(st.one_of(st.integers(0, PACKED_BYTES // 2), st.binary(min_size=1, max_size=9))))
def test_small_frames_go_together_and_in_their_order(sizes: list[int | bytes]) -> None:
    frames = [
        partial(bytes, one)
        if isinstance(one, bytes)
        else pb.ConductRequest(task=pb.Task(task_id=str(number), node="x" * one))
        for number, one in enumerate(sizes)
    ]
    sent = packed(frames)
    seen: list[bytes | str] = []
    for frame in sent:
        if callable(frame):
            seen.append(frame())
        else:
            assert len(frame) <= 2 * PACKED_BYTES
            read = pb.ConductRequest.FromString(frame)
            seen.extend(one.task.task_id for one in (read, *read.more))
    assert seen == [one if isinstance(one, bytes) else str(number) for number, one in enumerate(sizes)]
    assert len(packed([pb.ConductRequest(task=pb.Task(task_id=str(one))) for one in range(100)])) == 1
