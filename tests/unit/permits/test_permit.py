"""Signing and checking permits: what is let through, and each way not to be."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import OctKey, OKPKey

from datalab.permits.errors import PermitError, Reason
from datalab.permits.keys import generate_key, key_id, public_key
from datalab.permits.permit import KIND, read_claims_unverified, sign_permit, verify_permit
from datalab.permits.signature import MAX_TOKEN_BYTES, sign
from tests.unit.permits.conftest import NOW, claims


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def refusal(token: str, *keys: OKPKey) -> Reason:
    with pytest.raises(PermitError) as error:
        verify_permit(token, keys, now=NOW)
    assert error.value.next_step, "every refusal says what to do next"
    return error.value.reason


def test_what_was_signed_is_what_is_read(key: OKPKey) -> None:
    permit = claims(apps=["a" * 64], conditions=["Publish the results."])
    token = sign_permit(permit, key)
    assert verify_permit(token, [generate_key(), public_key(key)], now=NOW) == permit
    assert read_claims_unverified(token) == permit


def test_the_header_pins_kind_algorithm_and_key(key: OKPKey) -> None:
    header = jws.extract_compact(sign_permit(claims(), key).encode()).headers()
    assert header == {"alg": "Ed25519", "typ": KIND, "kid": key_id(key)}


def test_a_permit_holds_from_its_start_until_just_before_its_end(key: OKPKey) -> None:
    permit = claims()
    token = sign_permit(permit, key)
    verify_permit(token, [key], now=permit.not_before)
    verify_permit(token, [key], now=permit.expires - timedelta(seconds=1))
    for moment, reason in (
        (permit.not_before - timedelta(seconds=1), Reason.NOT_YET_VALID),
        (permit.expires, Reason.EXPIRED),
    ):
        with pytest.raises(PermitError) as error:
            verify_permit(token, [key], now=moment)
        assert error.value.reason == reason


def test_another_key_is_not_trusted(key: OKPKey) -> None:
    assert refusal(sign_permit(claims(), key), generate_key()) == Reason.UNKNOWN_KEY
    assert refusal(sign_permit(claims(), key)) == Reason.UNKNOWN_KEY


def test_changed_claims_do_not_fit_the_signature(key: OKPKey) -> None:
    header, _, signature = sign_permit(claims(), key).split(".")
    changed = encoded(claims(expires="2099-01-01T00:00:00Z").model_dump(mode="json"))
    assert refusal(f"{header}.{changed}.{signature}", key) == Reason.BAD_SIGNATURE


def test_claiming_a_trusted_key_id_does_not_help(key: OKPKey) -> None:
    forged = jws.serialize_compact(
        {"alg": "Ed25519", "typ": KIND, "kid": key_id(key)},
        claims().model_dump_json(),
        generate_key(),
        algorithms=["Ed25519"],
    )
    assert refusal(forged, key) == Reason.BAD_SIGNATURE


def test_the_public_key_as_a_shared_secret_does_not_help(key: OKPKey) -> None:
    secret = OctKey.import_key(public_key(key).as_pem().decode().replace("-----", ""))
    header = {"alg": "HS256", "typ": KIND, "kid": key_id(key)}
    forged = jws.serialize_compact(header, claims().model_dump_json(), secret, algorithms=["HS256"])
    assert refusal(forged, key) == Reason.MALFORMED


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "EdDSA"},
        {"alg": "Ed25519", "typ": "JWT"},
        {"alg": "Ed25519", "crit": ["b64"], "b64": False},
        {"alg": "Ed25519", "jwk": {"kty": "OKP"}},
        {"alg": "Ed25519", "kid": None},
        {"alg": "Ed25519", "kid": ["x"]},
    ],
)
def test_no_other_header_is_accepted(key: OKPKey, header: dict[str, Any]) -> None:
    _, payload, signature = sign_permit(claims(), key).split(".")
    other = encoded({"typ": KIND, "kid": key_id(key), **header})
    assert refusal(f"{other}.{payload}.{signature}", key) == Reason.MALFORMED


def test_a_document_of_another_kind_is_not_a_permit(key: OKPKey) -> None:
    token = sign(claims().model_dump_json().encode(), kind="datalab-permit-revocations+jws", key=key)
    assert refusal(token, key) == Reason.MALFORMED


def test_unknown_claims_are_refused_even_if_signed(key: OKPKey) -> None:
    token = sign(json.dumps({"id": "x", "surprise": True}).encode(), kind=KIND, key=key)
    assert refusal(token, key) == Reason.MALFORMED


def test_size_is_bounded_on_both_sides(key: OKPKey) -> None:
    assert refusal("a" * (MAX_TOKEN_BYTES + 1), key) == Reason.MALFORMED
    with pytest.raises(PermitError):
        sign_permit(claims(datasets=[{"id": "x" * 500}] * 500), key)


@given(st.text(max_size=60) | st.from_regex(r"[A-Za-z0-9_-]{1,30}(\.[A-Za-z0-9_-]{0,30}){0,3}", fullmatch=True))
def test_no_text_crashes_the_check(text: str) -> None:
    with pytest.raises(PermitError):
        verify_permit(text, [], now=NOW)


@given(st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda one: st.lists(one, max_size=3)))
def test_no_header_crashes_the_check(header: Any) -> None:
    for form in (header, ["alg"], {"alg": header}, {"alg": "Ed25519", "typ": header, "kid": header}):
        with pytest.raises(PermitError):
            verify_permit(f"{encoded(form)}.e30.{'A' * 86}", [], now=NOW)
