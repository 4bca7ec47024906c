"""Flower's records to the wire's protobuf and back: typed, bounded, nothing evaluated.

Flower keeps an array as the bytes of a ``.npy`` file; on the wire it is dtype, shape and the raw little-endian
elements, which say the same and can neither carry a pickle nor a header to be parsed.
"""

from __future__ import annotations

import functools
import io
import math
import mmap
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from federation.errors import WireError
from federation.pb import records_pb2 as pb
from federation.wire.buffers import StoredBuffer
from federation.wire.protocol import INLINE_ARRAY_BYTES, INLINE_MESSAGE_BYTES, MAX_ARRAYS, MAX_DIMENSIONS
from federation.wire.values import DTYPES, check_key, read_values, set_value

NUMPY_STYPE: Final = "numpy.ndarray"
_LONG_HEADER: Final = 64 << 10
"""Bytes in which a header of the second version is looked for."""

PutBuffer = Callable[[memoryview], bytes]
GetBuffer = Callable[[bytes], bytes | mmap.mmap | StoredBuffer]


class StoredArray(Array):
    """An array whose elements stay in a file until somebody asks for them: a runner need not hold all replies at once.

    Args:
        dtype: of the elements.
        shape: of the array.
        raw: the elements, little-endian, in C order.
    """

    def __init__(self, dtype: str, shape: tuple[int, ...], raw: StoredBuffer) -> None:
        self.dtype, self.shape, self.stype = dtype, shape, NUMPY_STYPE
        self._raw = raw

    @property
    def data(self) -> bytes:  # type: ignore[override]  # a field of Flower's, computed here
        """The array as a ``.npy`` file."""
        return b"".join((_npy_header(self.dtype, self.shape), self._raw.read()))

    def numpy(self) -> np.ndarray[Any, np.dtype[Any]]:
        """Return the elements, which the caller may change."""
        return np.frombuffer(self._raw.read(), dtype=_little_endian(self.dtype)).reshape(self.shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Array) and (self.dtype, self.shape, self.stype, self.data) == (
            other.dtype,
            other.shape,
            other.stype,
            other.data,
        )

    __hash__ = None  # type: ignore[assignment]  # as Flower's

    def __reduce__(self) -> tuple[Any, ...]:
        return Array, (self.dtype, self.shape, self.stype, self.data)


class Encoder:
    """Encodes records for sending; what the same message carries to many nodes is encoded once.

    Args:
        put: keeps a large buffer until it is fetched, and returns its SHA-256.
    """

    def __init__(self, put: PutBuffer) -> None:
        self._put = put
        self._done: dict[int, tuple[RecordDict, pb.RecordDict]] = {}

    def encode(self, content: RecordDict) -> pb.RecordDict:
        """Return ``content`` as protobuf.

        Raises:
            WireError: a value is of a type or size that the wire does not carry.
        """
        known = self._done.get(id(content))
        if known is None:
            known = self._done[id(content)] = (content, encode_records(content, self._put))
        return known[1]


def encode_records(content: RecordDict, put: PutBuffer) -> pb.RecordDict:
    """Return ``content`` as protobuf; buffers above the inline limits go to ``put`` and are named by digest.

    Raises:
        WireError: a value is of a type or size that the wire does not carry.
    """
    out = pb.RecordDict()
    room = INLINE_MESSAGE_BYTES
    for key, record in content.items():
        entry = out.entries.add(key=check_key(key))
        match record:
            case ArrayRecord():
                entry.array_record.SetInParent()
                for name, array in record.items():
                    sent = entry.array_record.entries.add(key=check_key(name)).array
                    raw = _raw(name, array, sent)
                    if raw.nbytes <= min(INLINE_ARRAY_BYTES, room):
                        sent.data = bytes(raw)
                        room -= raw.nbytes
                    else:
                        sent.sha256 = put(raw)
            case MetricRecord() | ConfigRecord():
                sent_record = entry.metric_record if isinstance(record, MetricRecord) else entry.config_record
                sent_record.SetInParent()
                for name, value in record.items():
                    set_value(sent_record.entries.add(key=check_key(name)), name, value)
            case _:
                raise WireError(f"The record {key!r} is of a kind that the wire does not carry.")
    return out


def decode_records(message: pb.RecordDict, get: GetBuffer) -> RecordDict:
    """Return what ``message`` says as Flower's records; buffers that it names by digest come from ``get``.

    A ``StoredBuffer`` stays where it is until its array is used.

    Raises:
        WireError: a dtype, shape, size or value is not valid.
    """
    out = RecordDict()
    for entry in message.entries:
        kind = entry.WhichOneof("record")
        if kind == "array_record":
            if len(entry.array_record.entries) > MAX_ARRAYS:
                raise WireError(f"A record has more than {MAX_ARRAYS} arrays.")
            record = ArrayRecord()  # its constructor would copy each array
            for one in entry.array_record.entries:
                record[check_key(one.key)] = _array(one.array, get)
            out[check_key(entry.key)] = record
        elif kind == "metric_record":
            out[check_key(entry.key)] = MetricRecord(read_values(entry.metric_record.entries))
        elif kind == "config_record":
            out[check_key(entry.key)] = ConfigRecord(read_values(entry.config_record.entries))
        else:
            raise WireError("A record has no content.")
    return out


def _raw(name: str, array: Array, sent: pb.Array) -> memoryview:
    """Set dtype and shape of ``sent`` and return the raw little-endian elements of ``array`` in C order."""
    if array.stype != NUMPY_STYPE:
        raise WireError(f"The array {name!r} is serialized as {array.stype!r}; only {NUMPY_STYPE!r} is sent.")
    values = _elements(array)
    if values.dtype.name not in DTYPES:
        raise WireError(f"The array {name!r} has the dtype {values.dtype.name}, which the wire does not carry.")
    shape = values.shape  # apps of Flower's older interface leave the array's own empty
    values = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    sent.dtype = values.dtype.name
    sent.shape.extend(shape)
    return values.reshape(-1).view(np.uint8).data


def _elements(array: Array) -> np.ndarray[Any, np.dtype[Any]]:
    return array.numpy() if isinstance(array, StoredArray) else _npy_view(array.data)


def _npy_view(data: bytes) -> np.ndarray[Any, np.dtype[Any]]:
    """Return the elements of a ``.npy`` file without copying them."""
    start = 10 + int.from_bytes(data[8:10], "little") if data[6:8] == b"\x01\x00" else _LONG_HEADER
    try:
        shape, fortran, dtype, start = _parse_header(bytes(data[:start]))
        if dtype.hasobject:
            raise WireError("An array of Python objects is not sent.")
        values = np.frombuffer(data, dtype=dtype, count=math.prod(shape), offset=start)
    except ValueError as error:
        raise WireError("An array's bytes are not a valid .npy file.") from error
    return values.reshape(shape, order="F" if fortran else "C")


@functools.lru_cache(maxsize=1024)
def _parse_header(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return shape, whether in Fortran's order, dtype and where the elements begin; raises ValueError.

    The same few headers come again with every reply, and numpy takes its time over each.
    """
    stream = io.BytesIO(head)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return (*read(stream), stream.tell())


@functools.lru_cache(maxsize=1024)
def _npy_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header,
        {"descr": np.lib.format.dtype_to_descr(_little_endian(dtype)), "fortran_order": False, "shape": shape},
    )
    return header.getvalue()


def _little_endian(dtype: str) -> np.dtype[Any]:
    return np.dtype(dtype).newbyteorder("<")


def _array(message: pb.Array, get: GetBuffer) -> Array:
    if message.dtype not in DTYPES:
        raise WireError("An array has a dtype that the wire does not carry.")
    shape = tuple(message.shape)
    kind = message.WhichOneof("buffer")
    raw = message.data if kind == "data" else get(message.sha256) if kind == "sha256" else None
    if raw is None or len(shape) > MAX_DIMENSIONS:
        raise WireError(f"An array has no buffer, or more than {MAX_DIMENSIONS} dimensions.")
    if math.prod(shape) * _little_endian(message.dtype).itemsize != len(raw):
        raise WireError("An array's buffer does not have the size that its dtype and shape say.")
    if isinstance(raw, StoredBuffer):
        return StoredArray(message.dtype, shape, raw)
    data = b"".join((_npy_header(message.dtype, shape), raw))
    return Array(dtype=message.dtype, shape=shape, stype=NUMPY_STYPE, data=data)
