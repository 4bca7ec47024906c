"""What a strategy could not use is refused before the ServerApp's process sees it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from federation.errors import WireError
from federation.pb import records_pb2 as pb
from federation.runner.replies import check_reply, shapes_of, unlike_others


def content(values: np.ndarray[Any, Any], folder: Path | None = None, **changes: Any) -> pb.RecordDict:
    """Return a message with one array, inside it or, with a folder, in a buffer of its own."""
    raw = values.tobytes()
    array = pb.Array(dtype=values.dtype.name, shape=values.shape)
    if folder is None:
        array.data = raw
    else:
        array.sha256 = hashlib.sha256(raw).digest()
        (folder / array.sha256.hex()).write_bytes(raw)
    for name, value in changes.items():
        if name == "shape":
            array.ClearField("shape")
            array.shape.extend(value)
        else:
            setattr(array, name, value)
    message = pb.RecordDict()
    message.entries.add(key="arrays").array_record.entries.add(key="model", array=array)
    return message


@pytest.fixture(params=["inside", "buffer"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path if request.param == "buffer" else None


def check(sent: pb.RecordDict, reply: pb.RecordDict, folder: Path | None) -> None:
    check_reply(shapes_of(sent, set()), reply, lambda sha256: (folder or Path("/nowhere")) / sha256.hex())


SENT = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_an_array_like_the_one_that_was_sent_is_taken(folder: Path | None) -> None:
    check(content(SENT), content(SENT + 1, folder), folder)


def test_what_was_sent_as_a_count_comes_back_as_one_though_a_mean_has_made_it_a_fraction() -> None:
    counts: set[tuple[str, str]] = set()
    count, fraction = content(np.array(3)), content(np.array(3.0))
    for sent in (count, fraction):
        check_reply(shapes_of(sent, counts), count, lambda _: Path("/nowhere"))
    with pytest.raises(WireError, match="another shape or type"):
        check(fraction, count, None)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_what_is_not_finite_is_refused(folder: Path | None, bad: float, dtype: str) -> None:
    values = np.ones(5, dtype)
    values[3] = bad
    with pytest.raises(WireError, match="not finite"):
        check(pb.RecordDict(), content(values, folder), folder)


@pytest.mark.parametrize("reply", [SENT.T.copy(), SENT[:1], SENT.astype(np.float64)], ids=["turned", "cut", "type"])
def test_another_shape_or_type_is_refused(folder: Path | None, reply: np.ndarray[Any, Any]) -> None:
    with pytest.raises(WireError, match="another shape or type"):
        check(content(SENT), content(reply, folder), folder)


def test_trees_as_bytes_may_be_of_any_size(folder: Path | None) -> None:
    check(content(np.zeros(3, np.uint8)), content(np.zeros(9, np.uint8), folder), folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dtype": "object"}, "dtype"),
        ({"shape": [7]}, "size"),
        ({"shape": [2**40, 2**40]}, "size"),
        ({"shape": [1] * 65}, "dimensions"),
    ],
    ids=["dtype", "size", "overflow", "dimensions"],
)
def test_a_malformed_array_is_refused(folder: Path | None, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(WireError, match=said):
        check(pb.RecordDict(), content(SENT, folder, **changes), folder)


def test_a_malformed_record_is_refused() -> None:
    empty = pb.RecordDict(entries=[pb.RecordDict.Entry(key="empty")])
    valueless = pb.RecordDict()
    valueless.entries.add(key="metrics").metric_record.entries.add(key="loss")
    bufferless = pb.RecordDict()
    bufferless.entries.add(key="arrays").array_record.entries.add(key="model").array.dtype = "float32"
    long = pb.RecordDict()
    long.entries.add(key="x" * 2000).metric_record.SetInParent()
    for message in (empty, valueless, bufferless, long):
        with pytest.raises(WireError):
            check(pb.RecordDict(), message, None)


def metrics(**values: float) -> pb.RecordDict:
    message = pb.RecordDict()
    record = message.entries.add(key="metrics").metric_record
    for name, value in values.items():
        record.entries.add(key=name.replace("_", "-"), double=value)
    return message


@pytest.mark.parametrize(
    "values", [{"loss": np.nan}, {"loss": np.inf}, {"num_examples": -1.0}, {"num_examples": np.nan}]
)
def test_metrics_that_would_spoil_an_average_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(WireError, match=r"metric|examples"):
        check(pb.RecordDict(), metrics(**values), None)


def test_an_array_of_another_type_than_the_tensor_that_was_sent_is_refused() -> None:
    with pytest.raises(WireError, match="another shape or type"):
        check(content(SENT), content(SENT.astype(np.int8)), None)


def test_a_name_that_comes_twice_is_refused() -> None:
    twice = content(SENT)
    twice.entries.add(key="arrays").metric_record.SetInParent()
    within = content(SENT)
    within.entries[0].array_record.entries.append(within.entries[0].array_record.entries[0])
    for message in (twice, within):
        with pytest.raises(WireError, match="twice"):
            check(content(SENT), message, None)


def reply_with(*arrays: str, metrics: tuple[str, ...] = ("num-examples",)) -> pb.RecordDict:
    message = pb.RecordDict()
    record = message.entries.add(key="arrays").array_record
    for name in arrays:
        record.entries.add(key=name)
    measured = message.entries.add(key="metrics").metric_record
    for name in metrics:
        measured.entries.add(key=name, double=1.0)
    return message


SENT_NAMES = [("arrays", "weight"), ("arrays", "bias")]
WHOLE, PART = reply_with("weight", "bias"), reply_with("weight")


@pytest.mark.parametrize(
    ("replies", "unlike"),
    [
        ([WHOLE, PART, WHOLE], [1]),
        ([WHOLE, reply_with("weight", "bias", "more"), WHOLE], [1]),
        ([WHOLE, WHOLE, reply_with("weight", "bias", metrics=())], [2]),
        ([PART, WHOLE], [0]),  # one of them brings back all that was sent
        ([PART, PART, PART], []),  # an app that sends part of the model back
        ([PART, reply_with("bias")], []),  # an app whose nodes send different parts
        ([PART], []),
        ([], []),
    ],
)
def test_a_reply_unlike_the_others_is_found(replies: list[pb.RecordDict], unlike: list[int]) -> None:
    assert unlike_others(replies, SENT_NAMES) == unlike
