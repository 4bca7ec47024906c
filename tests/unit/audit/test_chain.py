"""The hash chain: what an entry's hash covers."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalab.audit.chain import GENESIS, Head, entry_hash
from datalab.errors import BadInputError


def test_the_hash_covers_the_previous_hash_and_the_canonical_body() -> None:
    body = {"n": 1, "event": "started", "details": {"b": 2, "a": "é"}}
    written = '{"details":{"a":"é","b":2},"event":"started","n":1}'
    assert entry_hash(GENESIS, body) == hashlib.sha256((GENESIS + written).encode()).hexdigest()


def test_the_order_of_keys_does_not_matter() -> None:
    assert entry_hash(GENESIS, {"a": 1, "b": 2}) == entry_hash(GENESIS, {"b": 2, "a": 1})


@given(st.integers(0, 10**18 - 1), st.binary(min_size=32, max_size=32))
def test_a_head_survives_being_written_down(n: int, digest: bytes) -> None:
    head = Head(n, digest.hex())
    assert Head.parse(str(head)) == head


@pytest.mark.parametrize("text", ["", "5", f"-1:{GENESIS}", f"5:{GENESIS}0", f"5:{'G' * 64}", f"٣:{GENESIS}"])
def test_what_is_not_a_head_is_refused(text: str) -> None:
    with pytest.raises(BadInputError):
        Head.parse(text)
