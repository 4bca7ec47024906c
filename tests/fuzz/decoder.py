"""``python -m tests.fuzz.decoder [CORPUS] [-runs=N]``: feeds the decoder of everything that a peer sends with atheris.

Whatever the bytes are, they are decoded or refused with a WireError; anything else is a finding, and ends the fuzzer.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["federation"]):
    from federation.errors import WireError
    from federation.flower.records import decode_records
    from federation.runner.replies import check_reply, shapes_of
    from federation.wire.pieces import piece_of
    from federation.wire.protocol import check_run_id, check_version, referenced
    from federation.wire.values import decode_config

from google.protobuf.message import DecodeError

from federation.pb import federation_pb2 as pb


def _no_file(sha256: bytes) -> Path:
    raise WireError("There is no such buffer.")


def _no_buffer(sha256: bytes) -> bytes:
    raise WireError("There is no such buffer.")


def decode(data: bytes) -> None:
    """Decode ``data`` as each kind of stream, and look into whatever it turns out to be."""
    for kind in (pb.ConnectRequest, pb.ConnectResponse, pb.ConductRequest, pb.ConductResponse):
        try:
            frame = kind.FromString(data)
        except DecodeError:
            continue
        content = getattr(frame, frame.WhichOneof("frame") or "", None)
        for look in (_hello, _records, _chunk, _offer):
            with contextlib.suppress(WireError):
                look(content)


def _hello(frame: object) -> None:
    if isinstance(frame, pb.NodeHello | pb.NodeWelcome):
        check_version(frame.protocol_major, frame.protocol_minor)


def _records(frame: object) -> None:
    if isinstance(frame, pb.Task | pb.Reply):
        list(referenced(frame.content))
        check_reply(shapes_of(frame.content, set()), frame.content, _no_file)
        decode_records(frame.content, _no_buffer)


def _chunk(frame: object) -> None:
    if isinstance(frame, pb.Chunk):
        piece_of(frame)


def _offer(frame: object) -> None:
    if isinstance(frame, pb.Offer | pb.RunOpen):
        check_run_id(frame.run_id)
        offers = [frame] if isinstance(frame, pb.Offer) else [place.offer for place in frame.places]
        for offer in offers:
            decode_config(offer.config)


if __name__ == "__main__":
    atheris.Setup(sys.argv, decode)
    atheris.Fuzz()
