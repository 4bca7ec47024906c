"""The token that an operator hands over."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalab.errors import IdentityError
from federation.pki.identity import Identity, Role
from federation.pki.token import EnrolmentToken

FIELDS: dict[str, Any] = {
    "address": "127.0.0.1:8444",
    "secret": "s" * 43,
    "federation": "datalab.test",
    "role": "node",
    "name": "rotterdam",
    "ca": "AAEC",
}


def text(**changes: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps({**FIELDS, **changes}).encode()).decode().rstrip("=")


@given(st.binary(max_size=600), st.sampled_from(["127.0.0.1:1", "lab.example.org:8444", "[::1]:8444"]))
def test_a_token_survives_being_pasted_with_line_breaks(ca: bytes, address: str) -> None:
    token = EnrolmentToken(
        address=address, secret="s" * 43, federation="datalab.test", role=Role.NODE, name="rotterdam", ca=ca
    )
    pasted = "\n  ".join(token.encode()[i : i + 60] for i in range(0, len(token.encode()), 60))
    assert EnrolmentToken.decode(f" {pasted}\n") == token
    assert token.identity == Identity("datalab.test", Role.NODE, "rotterdam")


def test_its_secret_is_not_shown() -> None:
    assert "sss" not in repr(EnrolmentToken.decode(text()))


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "!",
        "e30",
        "W10",
        "A" * 8193,
        text(address="no-port"),
        text(address="unix:/run/x"),
        text(address="host:1/path"),
        text(secret="short"),
        text(role="admin"),
        text(ca="!"),
        text(extra=1),
        "é" + text(),
    ],
)
def test_what_is_not_a_token(bad: str) -> None:
    with pytest.raises(IdentityError, match="not an enrolment token"):
        EnrolmentToken.decode(bad)


def test_a_token_for_nobody_has_no_identity() -> None:
    token = EnrolmentToken.decode(text(name="../up"))
    with pytest.raises(IdentityError):
        _ = token.identity
