"""Looking into a run's files without evaluating anything: headers of arrays, numbers of JSON and CSV; bounded."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from catalog.release.checks import TEXT_PER_VALUE, Look

MOST_HEADER = 8 << 20
MOST_TEXT = 16 << 20
"""Bytes of a file that are read; a larger one counts as one that cannot be looked into."""
MOST_ONNX = 256 << 20
MOST_NODE = 1000
"""Bytes that the names of an ONNX model may take for each of its operators; more could be something else."""
MOST_NPY_HEADER = 512
WIDEST = 16
"""Bytes of the widest number of NumPy."""
_DTYPES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2}
_DTYPES |= {"U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8}
"""Bytes of each type of safetensors."""
_COUNTED = re.compile(
    r"(^|[-_ ])(n|counts?|rows|events|examples|people|patients|persons|cases|positives|negatives|left|at[-_]risk)$",
    re.IGNORECASE,
)
"""Names of what counts people."""
_SHAPE = re.compile(rb"'shape':\s*\(([0-9, ]{0,200})\)")


def look(name: str, size: int, source: BinaryIO) -> Look:
    """Return what is seen of a file; one that is not what its name says cannot be looked into."""
    reader = _READERS.get(PurePosixPath(name).suffix.lower())
    if reader is None:
        return Look(name, size, known=False)
    try:
        return reader(name, size, source)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, csv.Error):
        return Look(name, size, known=False)


def _safetensors(name: str, size: int, source: BinaryIO) -> Look:
    length = int.from_bytes(source.read(8), "little")
    if not 0 < length <= min(MOST_HEADER, size - 8):
        raise ValueError("not a header")
    header: dict[str, Any] = json.loads(source.read(length))
    said = json.dumps(header.pop("__metadata__", {}))
    shapes = [tuple(int(one) for one in tensor["shape"]) for tensor in header.values()]
    for shape, tensor in zip(
        shapes, header.values(), strict=True
    ):  # a shape that is too small would hide what is there
        start, end = tensor["data_offsets"]
        if min(shape, default=0) < 0 or end - start != math.prod(shape) * _DTYPES[tensor["dtype"]]:
            raise ValueError("a tensor of another size")
    told = sum(int(one["data_offsets"][1]) - int(one["data_offsets"][0]) for one in header.values())
    if told != size - 8 - length or len(said) > MOST_HEADER // 100:  # room for something that no tensor says
        raise ValueError("more bytes than tensors")
    return _arrays(name, size, shapes)


def _npy(name: str, size: int, source: BinaryIO) -> Look:
    start = source.read(min(size, 4096))
    found = _SHAPE.search(start) if start.startswith(b"\x93NUMPY") and b"'|O'" not in start else None
    if found is None:
        raise ValueError("not an array of numbers")
    seen = _arrays(name, size, [tuple(int(one) for one in found[1].decode().split(",") if one.strip())])
    length = 10 + int.from_bytes(start[8:10], "little") if start[6] == 1 else 12 + int.from_bytes(start[8:12], "little")
    if length > MOST_NPY_HEADER or size > length + WIDEST * seen.values:
        raise ValueError("more bytes than numbers")
    return seen


def _arrays(name: str, size: int, shapes: list[tuple[int, ...]]) -> Look:
    longest = max((axis for shape in shapes for axis in shape), default=0)
    return Look(name, size, values=sum(math.prod(shape) for shape in shapes), longest=longest)


def _onnx(name: str, size: int, source: BinaryIO) -> Look:
    """Look into an ONNX model: its constants, and the lists of numbers of its operators (trees are such)."""
    if find_spec("onnx") is None or size > MOST_ONNX:
        raise ValueError("cannot be looked into here")
    from google.protobuf.message import DecodeError
    from onnx import ModelProto, TensorProto

    try:
        model = ModelProto.FromString(source.read(size))
    except DecodeError as error:
        raise ValueError("not a model") from error
    if any(one.data_location == TensorProto.EXTERNAL for one in model.graph.initializer) or model.functions:
        raise ValueError("more than a plain graph")
    shapes: list[tuple[int, ...]] = [tuple(one.dims) for one in model.graph.initializer]
    for node in model.graph.node:
        for one in node.attribute:
            if one.HasField("t") or one.HasField("g") or one.tensors or one.graphs:
                raise ValueError("more than a plain graph")
            shapes += [(len(values),) for values in (one.floats, one.ints, one.strings) if values]
    told = sum(math.prod(shape) for shape in shapes)
    seen = _arrays(name, size, shapes)
    return seen if told * 8 + len(model.graph.node) * MOST_NODE >= size else Look(name, size, known=False)


def _json(name: str, size: int, source: BinaryIO) -> Look:
    document = json.loads(_text(size, source))
    values, longest, cells = 0, 0, []
    for path, one in _walk(document, ()):
        if isinstance(one, list):
            longest = max(longest, len(one))
        elif isinstance(one, str):
            longest = max(longest, len(one.splitlines()))
            values += len(one) // 8  # text can carry numbers, too
        elif isinstance(one, int | float) and not isinstance(one, bool):
            values += 1
            if float(one).is_integer() and any(_COUNTED.search(part) for part in path):
                cells.append(int(one))
    return Look(name, size, values=max(values, size // TEXT_PER_VALUE), longest=longest, cells=tuple(cells))


def _walk(document: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield lists, texts and numbers with the names on the way to them."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from _walk(value, (*path, key))
    else:
        yield path, document
        if isinstance(document, list):
            for value in document:
                yield from _walk(value, path)


def _csv(name: str, size: int, source: BinaryIO) -> Look:
    rows = [row for row in csv.reader(io.StringIO(_text(size, source))) if row]
    counted = [index for index, title in enumerate(rows[0]) if _COUNTED.search(title)] if rows else []
    cells = [int(row[index]) for row in rows[1:] for index in counted if index < len(row) and row[index].isdigit()]
    values = max(sum(map(len, rows)), size // TEXT_PER_VALUE)
    return Look(name, size, values=values, longest=len(rows), cells=tuple(cells))


def _prose(name: str, size: int, source: BinaryIO) -> Look:
    text = _text(size, source)
    values = max(len(re.findall(r"\d+(?:\.\d+)?", text)), size // TEXT_PER_VALUE)
    return Look(name, size, values=values, longest=len(text.splitlines()))


def _text(size: int, source: BinaryIO) -> str:
    if size > MOST_TEXT:
        raise ValueError("too large")
    return source.read(MOST_TEXT).decode("utf-8")


_READERS: dict[str, Callable[[str, int, BinaryIO], Look]] = {
    ".safetensors": _safetensors,
    ".npy": _npy,
    ".onnx": _onnx,
    ".json": _json,
    ".csv": _csv,
    ".md": _prose,
    ".txt": _prose,
}
