"""An app's two halves in one process: what a ServerApp sends is answered at once by ClientApps, one for each table.

For tests of an app's arithmetic; what carries the messages in the product has tests of its own.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from federation.bundle import read_app
from federation.flower import seam
from tests.support.federation import ROOT

APPS = ROOT / "federation" / "apps"


class LocalGrid(Grid):
    """Sites in this process.

    Args:
        app: the ClientApp.
        contexts: by node id.
    """

    def __init__(self, app: ClientApp, contexts: Mapping[int, Context]) -> None:
        self._app = app
        self._contexts = contexts
        self._replies: dict[str, Message] = {}
        self._asked: list[Message] = []
        self.seen: list[tuple[str, RecordDict]] = []
        """Kind and content of every reply that left a site."""

    def set_run(self, run: seam.Run) -> None:
        """There is one run only."""

    @property
    def run(self) -> seam.Run:
        """The run."""
        return seam.empty_run("test")

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,  # noqa: ARG002
    ) -> Message:
        """Return a new message."""
        return Message(content, dst_node_id, message_type, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Return the sites' node ids."""
        return sorted(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Answer messages and keep the replies."""
        ids = []
        for message in messages:
            self._asked.append(message)
            ids.append(str(len(self.seen)))
            self._replies[ids[-1]] = self._answer(message, ids[-1])
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return replies."""
        return [self._replies.pop(one) for one in message_ids]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:  # noqa: ARG002
        """Answer messages."""
        return self.pull_messages(self.push_messages(messages))

    def ask_again(self, message_type: str) -> None:
        """Send the last message of a kind once more, as a ServerApp could."""
        message = next(one for one in reversed(self._asked) if one.metadata.message_type == message_type)
        self._answer(message, "again")

    def _answer(self, message: Message, message_id: str) -> Message:
        metadata = message.metadata
        node = metadata.dst_node_id
        instruction = seam.instruction(
            message.content,
            run_id="test",
            node_id=node,
            message_id=message_id,
            message_type=metadata.message_type,
            group_id=metadata.group_id,
            ttl=metadata.ttl,
        )
        seam.identify("test", node)
        content = self._app(instruction, self._contexts[node]).content
        seam.identify("test", seam.SERVER_NODE_ID)
        self.seen.append((metadata.message_type, content))
        return seam.reply_to(seam.with_id(message, message_id), content)


def run_app(
    name: str, sites: Mapping[str, pd.DataFrame], folder: Path, **config: Any
) -> tuple[dict[str, Any], LocalGrid]:
    """Run a template over tables, in ``folder``; return its ``report.json`` and the grid.

    Settings are written with underscores.
    """
    app = read_app(APPS / name)
    settings = app.config | {key.replace("_", "-"): value for key, value in config.items()}
    contexts = {}
    for site, table in sites.items():
        path = folder / f"{site}.parquet"
        with duckdb.connect() as connection:
            connection.register("site", table)
            connection.execute(f"COPY site TO '{path}' (FORMAT parquet)")
        node = seam.flower_id(site)
        contexts[node] = seam.make_context("test", node, node_config={"dataset": str(path)}, run_config=settings)
    client_app, server_app = (_load(reference) for reference in (app.client_app, app.server_app))
    assert isinstance(client_app, ClientApp)
    assert isinstance(server_app, ServerApp)
    grid = LocalGrid(client_app, contexts)
    seam.identify("test", seam.SERVER_NODE_ID)
    before = Path.cwd()
    os.chdir(folder)
    try:
        server_app(grid, seam.make_context("test", seam.SERVER_NODE_ID, node_config={}, run_config=settings))
    finally:
        os.chdir(before)
    return json.loads((folder / "report.json").read_text(encoding="utf-8")), grid


def _load(reference: str) -> object:
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
