"""Replies of nodes, checked at the lab before the ServerApp's process sees them."""

from __future__ import annotations

import math
import mmap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from federation.errors import WireError
from federation.pb import records_pb2 as pb
from federation.wire.protocol import MAX_ARRAYS, MAX_DIMENSIONS
from federation.wire.values import DTYPES, check_key, read_values

FindBuffer = Callable[[bytes], Path]
WEIGHT = "num-examples"
"""The metric by which Flower's strategies weigh replies."""
UNLIKE = "The reply does not have the arrays and metrics that the other nodes' replies have."
Shapes = Mapping[tuple[str, str], tuple[str, tuple[int, ...]]]
"""Dtype and shape of the floating-point arrays of a message, by the names of record and array."""


def shapes_of(content: pb.RecordDict, counts: set[tuple[str, str]]) -> Shapes:
    """Return what a reply to ``content`` is compared with.

    Args:
        content: what is sent.
        counts: names of record and array of what was of another type than floating point in an earlier message; those
            of this one are added, as far as there is room. A strategy's mean makes a fraction of a count (of batches,
            in a norm of PyTorch's), and nodes answer with whole numbers again.

    Raises:
        WireError: it has too many arrays, or a key that is not one.
    """
    shapes = {}
    for record, name, array in _arrays(content):
        if not array.dtype.startswith("float"):
            if len(counts) < MAX_ARRAYS:
                counts.add((record, name))
        elif (record, name) not in counts:
            shapes[record, name] = (array.dtype, tuple(array.shape))
    return shapes


def check_reply(asked: Shapes, reply: pb.RecordDict, find: FindBuffer) -> None:
    """Check that a reply is well formed, and that a strategy can add it up.

    Its numbers are finite, metrics included, and its tensors are those that were sent: where the task had a
    floating-point array by the same name in a record by the same name, the reply's must be of the same dtype and shape.
    Arrays that were of other types (trees as bytes, counts) may be of any. No name comes twice, and nobody has fewer
    than no examples.

    Args:
        asked: the arrays of the task.
        reply: content of the reply; what it names has arrived.
        find: returns where a buffer lies.

    Raises:
        WireError: one of them is not so; the message has no value and no name, for names are the app's own words too.
    """
    for record, name, array in _arrays(reply):
        _check_values(array, find)
        before = asked.get((record, name))
        if before is None:
            continue
        if before != (array.dtype, tuple(array.shape)):
            raise WireError("An array has another shape or type than the one that was sent.")
    _check_once(entry.key for entry in reply.entries)
    for entry in reply.entries:
        check_key(entry.key)
        match entry.WhichOneof("record"):
            case "array_record":
                _check_once(one.key for one in entry.array_record.entries)
            case "metric_record":
                _check_once(one.key for one in entry.metric_record.entries)
                _check_metrics(read_values(entry.metric_record.entries))
            case "config_record":
                _check_once(one.key for one in entry.config_record.entries)
                read_values(entry.config_record.entries)
            case None:
                raise WireError("A record has no content.")


def unlike_others(contents: Sequence[pb.RecordDict], asked: Iterable[tuple[str, str]]) -> list[int]:
    """Return which replies of a batch, by position, do not have the arrays and metrics that the others have.

    Flower's strategies end the run for one such reply. What counts is what more than half of the replies have; where
    there is no such thing, what those have that bring back all that was sent. Else each is left as it is.

    Args:
        contents: of the replies to messages of one kind.
        asked: names of record and array of what was sent.
    """
    names = [_names(one) for one in contents]
    counted = Counter(names).most_common()
    whole = [one for one, _ in counted if set(asked) <= one]
    if counted and 2 * counted[0][1] > len(names):
        usual = counted[0][0]
    elif len(whole) == 1:
        usual = whole[0]
    else:
        return []
    return [position for position, one in enumerate(names) if one != usual]


def _names(content: pb.RecordDict) -> frozenset[tuple[str, str]]:
    """Return the names of record and entry of a reply's arrays and metrics."""
    return frozenset(
        (record.key, entry.key)
        for record in content.entries
        for entries in (record.array_record.entries, record.metric_record.entries)
        for entry in entries
    )


def _check_once(names: Iterable[str]) -> None:
    names = list(names)
    if len(set(names)) < len(names):
        raise WireError("A name comes twice.")


def _check_metrics(metrics: Mapping[str, Any]) -> None:
    for value in metrics.values():
        numbers = value if isinstance(value, list) else [value]
        if not all(math.isfinite(one) for one in numbers):
            raise WireError("A metric is not finite.")
    weight = metrics.get(WEIGHT, 0)
    if isinstance(weight, list) or weight < 0:
        raise WireError("A number of examples is negative, or no number.")


def _arrays(content: pb.RecordDict) -> Iterator[tuple[str, str, pb.Array]]:
    for record in content.entries:
        if len(record.array_record.entries) > MAX_ARRAYS:
            raise WireError(f"A record has more than {MAX_ARRAYS} arrays.")
        for entry in record.array_record.entries:
            yield record.key, check_key(entry.key), entry.array


def _check_values(array: pb.Array, find: FindBuffer) -> None:
    """Check type, dimensions and size of an array and, where it is of floating point, that it is finite."""
    if array.dtype not in DTYPES:
        raise WireError("An array has a dtype that the wire does not carry.")
    kind = array.WhichOneof("buffer")
    if kind is None or len(array.shape) > MAX_DIMENSIONS:
        raise WireError(f"An array has no buffer, or more than {MAX_DIMENSIONS} dimensions.")
    dtype = np.dtype(array.dtype).newbyteorder("<")
    size = len(array.data) if kind == "data" else find(array.sha256).stat().st_size
    if math.prod(array.shape) * dtype.itemsize != size:
        raise WireError("An array's buffer does not have the size that its dtype and shape say.")
    if not size or not array.dtype.startswith("float"):
        return
    if kind == "data":
        finite = _finite(np.frombuffer(array.data, dtype))
    else:
        with find(array.sha256).open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            finite = _finite(np.frombuffer(mapped, dtype))
    if not finite:
        raise WireError("An array holds a number that is not finite.")


def _finite(values: np.ndarray[tuple[int], np.dtype[Any]]) -> bool:
    return bool(np.isfinite(values.min()) and np.isfinite(values.max()))
