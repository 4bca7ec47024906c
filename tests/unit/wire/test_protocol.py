"""What a message may name, and codes that a peer may have made up."""

from __future__ import annotations

import pytest

from federation.errors import WireError
from federation.pb import federation_pb2 as pb
from federation.pb import records_pb2
from federation.wire.protocol import MAX_MESSAGE_BYTES, known_code, referenced

A, B = b"a" * 32, b"b" * 32


def naming(*arrays: tuple[bytes, str, list[int]]) -> records_pb2.RecordDict:
    message = records_pb2.RecordDict()
    record = message.entries.add(key="arrays").array_record
    for number, (sha256, dtype, shape) in enumerate(arrays):
        array = record.entries.add(key=str(number)).array
        array.sha256, array.dtype = sha256, dtype
        array.shape.extend(shape)
    return message


def test_sizes_follow_from_dtype_and_shape() -> None:
    message = naming((A, "float32", [10, 3]), (B, "int8", []), (A, "float64", [15]))
    assert referenced(message) == {A: 120, B: 1}


@pytest.mark.parametrize(
    "arrays",
    [
        [(A, "float32", [10]), (A, "float32", [11])],
        [(A, "object", [10])],
        [(A, "float32", [1] * 65)],
        [(A, "float32", [2**40, 2**20])],
        [(A, "uint8", [MAX_MESSAGE_BYTES]), (B, "uint8", [1])],
        [(b"short", "uint8", [1])],
    ],
    ids=["two sizes", "dtype", "dimensions", "huge", "too much together", "digest"],
)
def test_what_cannot_be_fetched_is_refused_before_it_is(arrays: list[tuple[bytes, str, list[int]]]) -> None:
    with pytest.raises(WireError):
        referenced(naming(*arrays))


def test_a_code_that_nobody_knows_is_the_unspecified_one() -> None:
    assert known_code(99) == pb.TASK_ERROR_CODE_UNSPECIFIED
    assert known_code(pb.TASK_ERROR_CODE_NODE_LOST) == pb.TASK_ERROR_CODE_NODE_LOST
