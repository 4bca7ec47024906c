"""Values of records on the wire: what types there are, and a configuration's or metric's value by its own type."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from federation.errors import WireError
from federation.pb import records_pb2 as pb
from federation.wire.protocol import ITEM_BYTES

DTYPES: Final = frozenset(ITEM_BYTES)
MAX_KEY: Final = 1024


def encode_config(config: dict[str, Any]) -> pb.ConfigRecord:
    """Return a flat configuration (scalars and lists of them) as protobuf; raises WireError for other values."""
    out = pb.ConfigRecord()
    for name, value in config.items():
        set_value(out.entries.add(key=check_key(name)), name, value)
    return out


def decode_config(message: pb.ConfigRecord) -> dict[str, Any]:
    """Return a flat configuration; raises WireError for an entry without a value."""
    return read_values(message.entries)


def check_key(key: str) -> str:
    """Return the name of an entry; raises WireError if it is too long."""
    if len(key) > MAX_KEY:
        raise WireError(f"A name of {len(key)} characters is over the limit of {MAX_KEY}.")
    return key


_LISTS: Final = {bool: "booleans", int: "integers", float: "doubles", str: "strings", bytes: "byte_strings"}
_SCALARS: Final = {bool: "boolean", int: "integer", float: "double", str: "string", bytes: "byte_string"}


def set_value(entry: Any, name: str, value: Any) -> None:
    """Set the value of a metric's or config's entry by the value's own type."""
    try:
        if isinstance(value, list):
            kinds = {type(one) for one in value}
            field = _LISTS[kinds.pop()] if kinds else "doubles"
            if kinds:
                raise WireError(f"The list {name!r} mixes types.")
            getattr(entry, field).SetInParent()
            getattr(entry, field).values.extend(value)
        else:
            setattr(entry, _SCALARS[type(value)], value)
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise WireError(f"The value of {name!r} ({type(value).__name__}) is not one that the wire carries.") from error


def read_values(entries: Iterable[Any]) -> dict[str, Any]:
    """Return the values of a metric or config record; raises WireError for an entry without one."""
    out: dict[str, Any] = {}
    for entry in entries:
        kind = entry.WhichOneof("value")
        if kind is None:
            raise WireError("A record has an entry without a value.")
        value = getattr(entry, kind)
        out[check_key(entry.key)] = list(value.values) if kind in _LISTS.values() else value
    return out
