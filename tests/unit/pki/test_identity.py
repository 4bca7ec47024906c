"""Identities: their one written form, and what is not one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from datalab.errors import IdentityError
from federation.pki.identity import Identity, Role, holder_from_pem

LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
FEDERATIONS = st.lists(LABEL, min_size=1, max_size=3).map(".".join).filter(lambda name: len(name) <= 63)
NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


@given(FEDERATIONS, st.sampled_from(Role), NAMES)
def test_an_identity_survives_being_written_down(federation: str, role: Role, name: str) -> None:
    identity = Identity(federation, role, name)
    assert str(identity) == f"spiffe://{federation}/{role}/{name}"
    assert Identity.parse(str(identity)) == identity


@given(st.text(max_size=80) | st.text(max_size=40).map(lambda text: f"spiffe://datalab.test/node/{text}"))
def test_whatever_is_read_is_written_the_same(uri: str) -> None:
    try:
        identity = Identity.parse(uri)
    except IdentityError:
        return
    assert str(identity) == uri


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "spiffe://datalab.test/node",
        "spiffe://datalab.test/node/",
        "spiffe://datalab.test/node/a/b",
        "spiffe://datalab.test/admin/a",
        "spiffe://datalab.test/node/A",
        "spiffe://datalab.test/node/a_b",
        "spiffe://datalab.test/node/-a",
        "spiffe://datalab.test/node/a-",
        "spiffe://datalab.test/node/" + "a" * 64,
        "spiffe://datalab.test/node/a\n",
        "spiffe://datalab.test/node/..",
        "spiffe://data lab/node/a",
        "spiffe://datalab.test:80/node/a",
        "spiffe://.test/node/a",
        "spiffe://datalab./node/a",
        "spiffe://" + "a" * 64 + "/node/a",
        "https://datalab.test/node/a",
        "SPIFFE://datalab.test/node/a",
        "spiffe://datalab.test/node/a?x",
        "spiffe://datalab.test/node/٣",
    ],
)
def test_what_is_not_an_identity(uri: str) -> None:
    with pytest.raises(IdentityError):
        Identity.parse(uri)


def self_signed(*names: x509.GeneralName) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


URI = x509.UniformResourceIdentifier("spiffe://datalab.test/node/a")


@pytest.mark.parametrize(
    "names",
    [(), (x509.DNSName("datalab.test"),), (URI, URI), (x509.UniformResourceIdentifier("https://a.test/"),)],
)
def test_a_certificate_without_exactly_one_identity_has_no_holder(names: tuple[x509.GeneralName, ...]) -> None:
    with pytest.raises(IdentityError):
        holder_from_pem(self_signed(*names))


def test_a_certificate_says_who_holds_it() -> None:
    holder = holder_from_pem(self_signed(URI, x509.DNSName("a.test")))
    assert (holder.identity, holder.serial) == (Identity("datalab.test", Role.NODE, "a"), "1")


def test_what_is_no_certificate_has_no_holder() -> None:
    with pytest.raises(IdentityError, match="PEM"):
        holder_from_pem(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
