"""Versions, limits and the form of things on the wire, checked by whoever receives them."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncIterator
from typing import TypeVar, cast

from google.protobuf.message import DecodeError, Message

from federation.errors import VersionError, WireError
from federation.pb import federation_pb2 as pb
from federation.pb import records_pb2

M = TypeVar("M", bound=Message)

PROTOCOL_MAJOR = 1
PROTOCOL_MINOR = 2

RENEW = "/datalab.federation.v1.RenewalService/Renew"
LIST_SESSIONS = "/datalab.federation.v1.LabService/ListSessions"
NODE_CONNECT = "/datalab.federation.v1.NodeService/Connect"
RUN_CONDUCT = "/datalab.federation.v1.RunService/Conduct"

CHUNK_BYTES = 1 << 20
"""Largest piece of a buffer in one chunk."""
FETCH_WINDOW = 4
"""Pieces of one buffer that a receiver asks for ahead."""
TRANSFERS = 2
"""Buffers that a receiver fetches from one source at once."""
MAX_FETCHES = 4096
"""Fetches of one peer that may wait for an answer (a piece is read only when it is sent); more break the protocol."""
STALL_SECONDS = 30.0
"""How long a receiver waits for the next piece of a buffer before it gives the transfer up."""
MAX_WAITING_BYTES = 32 << 20
"""Frames that may wait at the gateway for a peer that does not take them; a node with more is sent no tasks."""
MAX_PENDING_TASKS = 10_000
"""Tasks of one run that may wait for their replies."""
MAX_SOURCES = 200_000
"""Buffers of one run of which the gateway remembers who has them."""
CACHE_BYTES = 4 << 30
"""Buffers of one run that gateway and runner keep on disk beyond those in use."""
INLINE_ARRAY_BYTES = 64 << 10
"""An array up to this size travels inside its record."""
INLINE_MESSAGE_BYTES = 1 << 20
"""All arrays inside one message together; the rest is fetched."""
MAX_FRAME_BYTES = 8 << 20
"""Largest frame of any kind."""
MAX_BUFFER_BYTES = 8 << 30
"""Largest buffer that is fetched."""
MAX_MESSAGE_BYTES = 8 << 30
"""All buffers that one message names together."""
MAX_ARRAYS = 100_000
MAX_DATASETS = 1_000
MAX_NONCE = 64
"""Bytes of a nonce that a gateway signs."""
MAX_REASON = 500
"""Characters of a reason that a peer gives."""

KEEPALIVE_SECONDS = 20.0
"""Silence after which a connection is probed, so that a NAT keeps its entry; ``wire.pulse`` notices a dead peer."""
CONNECTING_SECONDS = 10.0
"""How long an attempt to connect may take: one that has begun while the line was down does not come through later."""

STREAM_WINDOW_BYTES = 4 << 20
"""What a peer may send on a stream before it is read.

gRPC would find out what the line takes instead, by pings between the frames: where hundreds of nodes answer at once,
that is a third of the processor time of gateway and nodes."""

CHANNEL_OPTIONS = (
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", STREAM_WINDOW_BYTES),
    # gRPC cuts a stream without a word; up to here there is time for one.
    ("grpc.max_receive_message_length", 2 * MAX_FRAME_BYTES),
    ("grpc.max_send_message_length", 2 * MAX_FRAME_BYTES),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.min_reconnect_backoff_ms", round(CONNECTING_SECONDS * 1000)),
)

ITEM_BYTES = {"bool": 1, "float16": 2, "float32": 4, "float64": 8} | {
    f"{sign}int{bits}": bits // 8 for sign in ("", "u") for bits in (8, 16, 32, 64)
}
"""The dtypes that the wire carries, and the bytes of one element."""
MAX_DIMENSIONS = 64

_RUN_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
DIGEST_BYTES = 32


def check_names(*names: str) -> None:
    """Raise WireError if a name in an offer or a task is longer than ``MAX_NAME``."""
    if any(len(name) > MAX_NAME for name in names):
        raise WireError(f"An offer or a task has a name of more than {MAX_NAME} characters.")


def check_run_id(run_id: str) -> str:
    """Return ``run_id`` if it is a lower-case slug of at most 63 characters (it becomes a folder name).

    Raises:
        WireError: it is not.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise WireError("A run id must be a lower-case slug of at most 63 characters.")
    return run_id


def check_digest(sha256: bytes) -> bytes:
    """Return ``sha256`` if it has 32 bytes; raises WireError otherwise."""
    if len(sha256) != DIGEST_BYTES:
        raise WireError("A SHA-256 digest has 32 bytes.")
    return sha256


def referenced(content: records_pb2.RecordDict, limit: int = MAX_MESSAGE_BYTES) -> dict[bytes, int]:
    """Return the buffers that ``content`` names but does not carry: digest and size in bytes, in order.

    The sizes follow from dtype and shape, so that whoever fetches a buffer knows beforehand how large it may be.

    Args:
        content: of a task or a reply.
        limit: bytes that they may have together.

    Raises:
        WireError: a digest is not one, has two sizes, or there are too many arrays or bytes.
    """
    named: dict[bytes, int] = {}
    count = 0
    for record in content.entries:
        if record.WhichOneof("record") != "array_record":
            continue
        for entry in record.array_record.entries:
            count += 1
            if count > MAX_ARRAYS:
                raise WireError(f"A message has more than {MAX_ARRAYS} arrays.")
            if entry.array.WhichOneof("buffer") == "sha256":
                size = size_of(entry.array)
                if named.setdefault(check_digest(entry.array.sha256), size) != size:
                    raise WireError("A message names a buffer with two sizes.")
    if sum(named.values()) > limit:
        raise WireError(f"The buffers of a message are over the limit of {limit} bytes.")
    return named


def size_of(array: records_pb2.Array) -> int:
    """Return how many bytes an array's dtype and shape say it has; raises WireError for a dtype that is not one."""
    item = ITEM_BYTES.get(array.dtype)
    if item is None or len(array.shape) > MAX_DIMENSIONS:
        raise WireError("An array has a dtype that the wire does not carry, or too many dimensions.")
    return item * math.prod(array.shape)


async def parsed(frames: AsyncIterator[bytes], kind: type[M]) -> AsyncIterator[M]:
    """Yield what a peer sends as messages.

    Raises:
        WireError: a frame is not a ``kind``, or oversize.
    """
    async for data in frames:
        if len(data) > MAX_FRAME_BYTES:
            raise WireError(f"A frame of {len(data)} bytes is over the limit of {MAX_FRAME_BYTES}.")
        message = kind()
        try:
            message.ParseFromString(data)
        except DecodeError as error:
            raise WireError("A frame is not a valid message.") from error
        yield message


def known_code(code: int) -> pb.TaskErrorCode:
    """Return an error's code if it is one of this version's, else the unspecified one: a peer may send any number."""
    return cast("pb.TaskErrorCode", code) if code in pb.TaskErrorCode.values() else pb.TASK_ERROR_CODE_UNSPECIFIED


def check_version(major: int, minor: int, *, peer: str = "node") -> None:
    """Raise VersionError, saying which side to upgrade, unless ``peer`` (node or gateway) speaks our major version."""
    if major != PROTOCOL_MAJOR:
        here = "gateway" if peer == "node" else "node"
        raise VersionError(
            f"The {peer} speaks protocol {major}.{minor} and the {here} {PROTOCOL_MAJOR}.{PROTOCOL_MINOR}.",
            next_step=f"Upgrade the {peer if major < PROTOCOL_MAJOR else here}.",
        )


INTERRUPTED = "interrupted"
"""Outcome of a run whose runner has not come back: it may yet, and nodes keep what they have recorded."""
MAX_NAME = 500
"""Characters of a name that a peer gives to something: a dataset, a purpose, a task, a kind of message."""
MAX_TASKS_AT_NODE = 1_000
"""Tasks of one run that may wait at a node; more are answered with an error."""
MAX_REFUSED = 20
"""Replies of one node in one run that may be refused; its stream ends with the next."""
HELLO_SECONDS = 30.0
"""How long a stream may last without its first frame."""


def check_offset(offset: int) -> None:
    """Raise WireError if ``offset`` lies beyond the largest buffer."""
    if offset > MAX_BUFFER_BYTES:
        raise WireError(f"A piece of a buffer begins beyond its largest size, {MAX_BUFFER_BYTES} bytes.")


async def first_of(frames: AsyncIterator[M]) -> M:
    """Return the first frame of a stream.

    Raises:
        WireError: it does not come in time.
    """
    try:
        async with asyncio.timeout(HELLO_SECONDS):
            return await anext(frames)
    except TimeoutError:
        raise WireError(f"The stream had no first frame for {HELLO_SECONDS:.0f} seconds.") from None
