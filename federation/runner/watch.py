"""What a run says while it goes on: one JSON object a line in ``events.jsonl``, and the rounds that they add up to."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from federation.pb import federation_pb2 as pb
from federation.pb import records_pb2


class Watch:
    """Writes events, and keeps the rounds for the run card.

    A *round* is a pair of batches to which the strategy gives the same number: messages of type ``train``, then
    ``evaluate``. Its loss is the nodes' ``loss`` on evaluation (on training, where nothing was evaluated), weighted by
    ``num-examples`` as Flower's own strategies do. What a run that was interrupted had said is not said again.

    Args:
        path: the events file.
    """

    def __init__(self, path: Path) -> None:
        self._said = [one for one in _events(path) if one["event"] == "batch"]
        self._lock = threading.Lock()
        self._file = path.open("ab", buffering=0)
        self.rounds: list[dict[str, Any]] = []
        self._batches = 0
        # Bytes to and from each node: in all, and as the gateway last counted them.
        self._totals: dict[str, tuple[int, int]] = {}
        self._counted: dict[str, tuple[int, int]] = {}

    def say(self, event: str, **details: Any) -> None:
        """Write an event; from any thread."""
        line = json.dumps({"event": event, "time": time.time(), **details}) + "\n"
        with self._lock:
            self._file.write(line.encode())

    def batch(self, *, message_type: str, number: str, replies: Sequence[pb.Reply], seconds: float) -> None:
        """Note a batch of messages and its replies; after an evaluation, the round is complete.

        Args:
            message_type: of its messages.
            number: of their round.
            replies: in the order of node ids.
            seconds: from before the messages were encoded until the replies were read.
        """
        traffic = self._count_traffic(replies)
        down, up = sum(one for one, _ in traffic.values()), sum(one for _, one in traffic.values())
        nodes = {
            reply.node: {"app_seconds": reply.app_seconds, **metrics_of(reply)}
            if reply.WhichOneof("result") == "content"
            else {"error": pb.TaskErrorCode.Name(reply.error.code)}
            for reply in replies
        }
        again = self._batches < len(self._said)
        if again:
            seconds = self._said[self._batches]["seconds"]
        else:
            told = {"bytes_down": down, "bytes_up": up, "nodes": nodes, "traffic": traffic}
            self.say("batch", type=message_type, round=number, seconds=seconds, **told)
        self._batches += 1
        kind = message_type.partition(".")[0]
        if kind not in ("train", "evaluate") or not number.isdigit():
            return
        if not self.rounds or self.rounds[-1]["number"] != int(number):
            self.rounds.append({"number": int(number), "seconds": 0.0, "loss": None, "bytes_up": 0, "bytes_down": 0})
        current = self.rounds[-1]
        current["seconds"] += seconds
        current["bytes_down"] += down
        current["bytes_up"] += up
        loss = _weighted([node for node in nodes.values() if "loss" in node])
        current["loss"] = current["loss"] if loss is None else loss
        if kind == "evaluate" and not again:
            self.say("round", **current)

    def totals(self) -> dict[str, dict[str, int]]:
        """Return the bytes that went to and came from each node in all."""
        return {name: {"to_node": to, "from_node": back} for name, (to, back) in sorted(self._totals.items())}

    def close(self) -> None:
        """Close the events file."""
        self._file.close()

    def _count_traffic(self, replies: Sequence[pb.Reply]) -> dict[str, tuple[int, int]]:
        """Return the bytes to and from each node since the last batch, from the totals that the gateway keeps."""
        found: dict[str, tuple[int, int]] = {}
        for reply in replies:
            before = self._counted.get(reply.node, (0, 0))
            now = (reply.traffic.to_node, reply.traffic.from_node)
            if now[0] < before[0]:  # a gateway that was started again counts from nothing
                before = now
            total = self._totals.get(reply.node, (0, 0))
            self._counted[reply.node] = now
            self._totals[reply.node] = (total[0] + now[0] - before[0], total[1] + now[1] - before[1])
            down, up = found.get(reply.node, (0, 0))
            found[reply.node] = down + now[0] - before[0], up + now[1] - before[1]
        return found


def _events(path: Path) -> list[dict[str, Any]]:
    """Return what was said before; an event that a crash has cut off is removed."""
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    return [json.loads(line) for line in whole.splitlines()]


def round_of(content: records_pb2.RecordDict) -> str:
    """Return the round that a message belongs to, as Flower's strategies write it into their configuration, or ""."""
    for record in content.entries:
        for entry in record.config_record.entries:
            if entry.key == "server-round":
                return str(getattr(entry, entry.WhichOneof("value") or "string"))
    return ""


def metrics_of(reply: pb.Reply) -> dict[str, Any]:
    """Return the scalar metrics of a reply by name (they leave the node anyway, for the strategy to aggregate)."""
    found: dict[str, Any] = {}
    for record in reply.content.entries:
        for entry in record.metric_record.entries:
            kind = entry.WhichOneof("value")
            if kind in ("integer", "double"):
                found[entry.key] = getattr(entry, kind)
    return found


def _weighted(nodes: list[dict[str, Any]]) -> float | None:
    weight = sum(node.get("num-examples", 1) for node in nodes)
    return sum(node["loss"] * node.get("num-examples", 1) for node in nodes) / weight if weight else None
