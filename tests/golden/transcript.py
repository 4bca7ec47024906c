"""Frozen transcripts: what a node of an earlier version said, and what it was told, as the bytes on the wire."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
APP = FOLDER / "app"
NODE, RUN = "golden", "golden"


@dataclass(frozen=True)
class Line:
    """One frame.

    Attributes:
        sender: ``node`` or ``gateway``.
        kind: which of the stream's frames it is.
        frame: its bytes.
    """

    sender: str
    kind: str
    frame: bytes


def transcripts() -> list[Path]:
    """Return the transcripts, the oldest version first."""
    return sorted(FOLDER.glob("protocol-*.jsonl"))


def read(path: Path) -> list[Line]:
    """Read a transcript."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Line(one["from"], one["kind"], base64.b64decode(one["frame"])) for one in lines]
