"""What aligns two engines: node ids that come from the sites' names, replies in their order, sampling.

Flower's own engine draws node ids at random, hands replies over as they come, and has threads (heartbeats, retries)
that draw from the generator which its strategies sample nodes with.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid

CONFIG, SITE = "config", "site"


class AlignedGrid(Grid):
    """A grid under whose node ids sites are in the same order on each engine; it tells each site its name.

    Args:
        grid: the engine's own.
        sites: names of the sites, each of which holds one node.
    """

    def __init__(self, grid: Grid, sites: list[str]) -> None:
        self._grid = grid
        self._asked = 0
        self._names = {site_id(name): name for name in sites}
        own = list(grid.get_node_ids())
        if set(own) == self._names.keys():
            self._own = {one: one for one in own}
        else:
            asked = [Message(RecordDict(), one, "query") for one in own]
            self._own = {
                site_id(str(reply.content.config_records[SITE]["name"])): reply.metadata.src_node_id
                for reply in grid.send_and_receive(asked)
            }
        self._aligned = {own: aligned for aligned, own in self._own.items()}

    def set_run(self, run: object) -> None:
        """See Grid."""

    @property
    def run(self) -> object:
        """See Grid."""
        return self._grid.run

    def create_message(self, *_: object, **__: object) -> Message:
        """See Grid."""
        raise NotImplementedError

    def get_node_ids(self) -> Iterable[int]:
        """Return the aligned ids, in ascending order; what is sampled from them next depends on how often this was."""
        self._asked += 1
        random.seed(self._asked)
        return sorted(self._own)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """See Grid."""
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """See Grid."""
        raise NotImplementedError

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send each message to the node behind its aligned id, and return the replies in the order of those."""
        sent = [self._to_own(one) for one in messages]
        replies = list(self._grid.send_and_receive(sent, timeout=timeout))
        return sorted(replies, key=lambda one: self._aligned[one.metadata.src_node_id])

    def _to_own(self, message: Message) -> Message:
        target = message.metadata.dst_node_id
        # In the strategy's own record: Flower's mods for privacy take no message with two.
        config = ConfigRecord({**message.content.config_records.get(CONFIG, {}), SITE: self._names[target]})
        content = RecordDict({**message.content, CONFIG: config})
        return Message(content, self._own[target], message.metadata.message_type)


def site_id(name: str) -> int:
    """Return the aligned id of a site: 63 bits of the SHA-256 of its name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


def sites_of(context: Context) -> list[str]:
    """Return the names of the sites that the run is configured with."""
    return str(context.run_config["sites"]).split()
