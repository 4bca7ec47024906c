"""Flower's records survive the wire bit for bit, and nothing malformed gets through."""

from __future__ import annotations

import contextlib
import hashlib
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from federation.errors import WireError
from federation.flower.records import Encoder, decode_records, encode_records
from federation.pb import records_pb2 as pb
from federation.wire.protocol import INLINE_ARRAY_BYTES
from federation.wire.values import DTYPES, decode_config, encode_config


class Buffers:
    """Keeps what the encoder puts, as a link or an outbox does."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}

    def put(self, data: memoryview) -> bytes:
        sha256 = hashlib.sha256(data).digest()
        self.kept[sha256] = bytes(data)
        return sha256

    def get(self, sha256: bytes) -> bytes:
        return self.kept[sha256]


def across(content: RecordDict) -> RecordDict:
    """Return ``content`` as it arrives, through the bytes that a stream carries."""
    buffers = Buffers()
    sent = encode_records(content, buffers.put).SerializeToString()
    return decode_records(pb.RecordDict.FromString(sent), buffers.get)


arrays = hnp.arrays(
    dtype=st.sampled_from(sorted(DTYPES)).map(np.dtype),
    shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
)
scalars = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
metrics = scalars | st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1) | st.lists(st.floats(allow_nan=False))
configs = (
    metrics
    | st.booleans()
    | st.text()
    | st.binary()
    | st.lists(st.booleans(), min_size=1)
    | st.lists(st.text(), min_size=1)
)


@given(arrays)
def test_an_array_arrives_as_it_was(values: np.ndarray[Any, Any]) -> None:
    arrived = across(RecordDict({"model": ArrayRecord({"layer": Array(values)})}))
    out = arrived.array_records["model"]["layer"].numpy()
    assert (out.dtype, out.shape, out.tobytes()) == (values.dtype, values.shape, values.tobytes())


@given(st.dictionaries(st.text(max_size=20), metrics), st.dictionaries(st.text(max_size=20), configs))
def test_metrics_and_configuration_arrive_as_they_were(measured: dict[str, Any], config: dict[str, Any]) -> None:
    arrived = across(RecordDict({"m": MetricRecord(measured), "c": ConfigRecord(config)}))
    assert list(arrived) == ["m", "c"]
    assert dict(arrived.metric_records["m"]) == measured
    assert dict(arrived.config_records["c"]) == config
    assert decode_config(encode_config(config)) == config


def test_order_is_kept_because_strategies_rely_on_it() -> None:
    names = [f"layer{n}" for n in (3, 1, 2)]
    record = ArrayRecord({name: Array(np.zeros(1)) for name in names})
    assert list(across(RecordDict({"arrays": record})).array_records["arrays"]) == names


@pytest.mark.parametrize("order", ["F", "big-endian"])
def test_memory_layout_does_not_matter(order: str) -> None:
    values = np.arange(6.0).reshape(2, 3)
    sent = np.asfortranarray(values) if order == "F" else values.astype(">f8")
    arrived = across(RecordDict({"a": ArrayRecord({"x": Array(sent)})})).array_records["a"]["x"].numpy()
    np.testing.assert_array_equal(arrived, values)


def test_an_array_of_flowers_older_interface_says_its_shape_in_its_bytes_alone() -> None:
    values = np.arange(6.0).reshape(2, 3)
    sent = Array("", (), "numpy.ndarray", Array(values).data)
    arrived = across(RecordDict({"a": ArrayRecord({"x": sent})})).array_records["a"]["x"]
    assert (arrived.dtype, arrived.shape) == ("float64", (2, 3))
    np.testing.assert_array_equal(arrived.numpy(), values)


def test_a_large_array_is_named_by_its_digest_and_a_small_one_travels_inside() -> None:
    buffers = Buffers()
    large, small = np.zeros(INLINE_ARRAY_BYTES + 8, np.uint8), np.zeros(8, np.uint8)
    sent = encode_records(RecordDict({"a": ArrayRecord({"l": Array(large), "s": Array(small)})}), buffers.put)
    kinds = [entry.array.WhichOneof("buffer") for entry in sent.entries[0].array_record.entries]
    assert kinds == ["sha256", "data"]
    assert list(buffers.kept.values()) == [large.tobytes()]


def test_what_many_nodes_get_is_encoded_once() -> None:
    buffers = Buffers()
    encoder = Encoder(buffers.put)
    content = RecordDict({"a": ArrayRecord({"x": Array(np.zeros(3))})})
    assert encoder.encode(content) is encoder.encode(content)


def test_python_objects_are_not_sent() -> None:
    pickled = Array("object", (1,), "numpy.ndarray", b"\x93NUMPY" + b"not an array")
    with pytest.raises(WireError):
        encode_records(RecordDict({"a": ArrayRecord({"x": pickled})}), Buffers().put)


def _array(**fields: Any) -> pb.RecordDict:
    message = pb.RecordDict()
    message.entries.add(key="a").array_record.entries.add(key="x", array=pb.Array(**fields))
    return message


@pytest.mark.parametrize(
    "message",
    [
        _array(dtype="object", shape=[1], data=b"12345678"),
        _array(dtype="float64", shape=[2], data=b"12345678"),
        _array(dtype="float64", shape=[2**40, 2**40], data=b"12345678"),
        _array(dtype="float64", shape=[1]),
        _array(dtype="float64", shape=[1] * 65, data=b"12345678"),
        pb.RecordDict(entries=[pb.RecordDict.Entry(key="empty")]),
        pb.RecordDict(entries=[pb.RecordDict.Entry(key="x" * 2000, metric_record=pb.MetricRecord())]),
    ],
    ids=["dtype", "size", "overflow", "no buffer", "dimensions", "no record", "long key"],
)
def test_malformed_records_are_refused(message: pb.RecordDict) -> None:
    with pytest.raises(WireError):
        decode_records(message, Buffers().get)


@given(st.binary(max_size=300))
def test_any_bytes_are_decoded_or_refused_but_never_crash(data: bytes) -> None:
    message = pb.RecordDict()
    try:
        message.ParseFromString(data)
    except Exception:  # noqa: BLE001 - protobuf's own refusal, of whatever kind
        return
    with contextlib.suppress(WireError):
        decode_records(message, lambda _: b"")
