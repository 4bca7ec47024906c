"""Loading an app's parts, and seeding what they draw from."""

from __future__ import annotations

import hashlib
import importlib
import random
from typing import TypeVar

import numpy as np
from flwr.app import Message

from federation.errors import BundleError

A = TypeVar("A")


def load(reference: str, kind: type[A]) -> A:
    """Import ``package.module:object``.

    Raises:
        BundleError: what is there is not a ``kind``.
    """
    module, _, name = reference.partition(":")
    found = getattr(importlib.import_module(module), name, None)
    if not isinstance(found, kind):
        raise BundleError(f"The app's {reference} is not a {kind.__name__}.")
    return found


def round_of(message: Message) -> str:
    """Return the round that an instruction belongs to, as Flower's strategies say it; empty if they do not.

    They write ``server-round`` into the configuration that they send; older ones made it the message's group.
    """
    for record in message.content.config_records.values():
        if "server-round" in record:
            return str(record["server-round"])
    return message.metadata.group_id


def seed_everything(seed: int, *scope: str) -> None:
    """Seed ``random`` and numpy's global generator from the run's seed and a scope (node, message type, round)."""
    derived = hashlib.sha256("\0".join([str(seed), *scope]).encode()).digest()
    random.seed(derived)
    np.random.seed(int.from_bytes(derived[:4], "big"))  # noqa: NPY002 - apps use numpy's global generator
