"""What the authority puts into certificates, and what it leaves out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from datalab.errors import BadInputError, IdentityError, NotFoundError
from federation.pki.authority import Authority, create_authority
from federation.pki.identity import Identity, Role, holder_of
from federation.pki.keys import ClockError, Credentials, certificate_request, check_chain, key_pem, new_key
from tests.unit.pki.conftest import FEDERATION, NODE, enrolled, first

GATEWAY = Identity(FEDERATION, Role.GATEWAY, "gateway")


def names_of(certificate: x509.Certificate) -> list[x509.GeneralName]:
    return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)


def purposes_of(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


@pytest.mark.parametrize("role", [Role.NODE, Role.RUNNER, Role.LAB])
def test_a_member_is_a_client_and_has_no_host_name(authority: Authority, role: Role) -> None:
    leaf = first(enrolled(authority, Identity(FEDERATION, role, "one")).chain_pem)
    assert purposes_of(leaf) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert names_of(leaf) == [x509.UniformResourceIdentifier(f"spiffe://{FEDERATION}/{role}/one")]
    assert not list(leaf.subject), "a common name could pass for a host name"
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_gateway_is_a_server_with_host_names_and_not_a_client(authority: Authority) -> None:
    chain = authority.issue(
        certificate_request(new_key()), GATEWAY, dns_names=["localhost"], ips=[ip_address("127.0.0.1")]
    )
    assert purposes_of(first(chain)) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert names_of(first(chain))[1:] == [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    with pytest.raises(IdentityError):
        check_chain(chain, authority.trust_bundle_pem, now=datetime.now(UTC))


def test_host_names_are_for_gateways_only_and_gateways_need_them(authority: Authority) -> None:
    request = certificate_request(new_key())
    with pytest.raises(IdentityError, match="host names"):
        authority.issue(request, NODE, dns_names=["localhost"])
    with pytest.raises(IdentityError, match="host names"):
        authority.issue(request, GATEWAY)


def test_nothing_but_the_key_is_taken_from_a_request(authority: Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    greedy = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
    plain = first(authority.issue(certificate_request(key), NODE))
    leaf = first(authority.issue(greedy, NODE))
    assert [one.value for one in leaf.extensions] == [one.value for one in plain.extensions]
    assert leaf.subject == plain.subject
    assert leaf.public_key() == key.public_key()


def test_a_request_must_be_signed_by_its_own_p256_key(authority: Authority) -> None:
    request = certificate_request(new_key())
    der = bytearray(x509.load_pem_x509_csr(request).public_bytes(Encoding.DER))
    der[-1] ^= 1
    tampered = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    others = [
        builder.sign(ec.generate_private_key(ec.SECP384R1()), hashes.SHA256()).public_bytes(Encoding.PEM),
        builder.sign(ed25519.Ed25519PrivateKey.generate(), None).public_bytes(Encoding.PEM),
        b"",
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        request + b"\n" * 20_000,
    ]
    for bad in (tampered, *others):
        with pytest.raises(BadInputError):
            authority.issue(bad, NODE)


def test_another_federations_member_gets_nothing(authority: Authority) -> None:
    with pytest.raises(IdentityError, match="not for"):
        authority.issue(certificate_request(new_key()), Identity("elsewhere.test", Role.NODE, "a"))


def test_validity_starts_a_little_early_and_never_outlives_the_issuer(authority: Authority) -> None:
    request = certificate_request(new_key())
    short = first(authority.issue(request, NODE, lifetime=timedelta(hours=1)))
    now = datetime.now(UTC)
    assert timedelta(minutes=4) < now - short.not_valid_before_utc < timedelta(minutes=6)
    assert timedelta(minutes=59) < short.not_valid_after_utc - now <= timedelta(hours=1)
    long = first(authority.issue(request, NODE, lifetime=timedelta(days=9999)))
    assert long.not_valid_after_utc == authority.certificate.not_valid_after_utc


def test_serial_numbers_are_random_and_not_sequential(authority: Authority) -> None:
    serials = {first(enrolled(authority).chain_pem).serial_number for _ in range(5)}
    assert len(serials) == 5
    assert all(serial.bit_length() > 100 for serial in serials)


class TestFiles:
    """The folders of an authority."""

    def test_the_root_is_kept_apart_and_the_issuing_key_encrypted(self, tmp_path: Path) -> None:
        made = create_authority(tmp_path / "root", tmp_path / "issuing", federation=FEDERATION, passphrase="secret")
        assert {path.name for path in (tmp_path / "root").iterdir()} == {"root.key.pem", "root.pem"}
        assert {path.name for path in (tmp_path / "issuing").iterdir()} == {
            "issuing.key.pem",
            "issuing.pem",
            "root.pem",
        }
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in tmp_path.rglob("*.pem"))
        with pytest.raises(TypeError, match="encrypted"):
            load_pem_private_key((tmp_path / "issuing" / "issuing.key.pem").read_bytes(), None)
        assert "key" not in repr(made)

        loaded = Authority.load(tmp_path / "issuing", "secret")
        assert loaded.federation == FEDERATION
        enrolled(loaded).check(NODE)

    def test_depth_is_limited(self, authority: Authority) -> None:
        depths = [
            one.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
            for one in (authority.root, authority.certificate)
        ]
        assert depths == [1, 0]

    def test_an_authority_is_never_overwritten(self, tmp_path: Path) -> None:
        folders = tmp_path / "root", tmp_path / "issuing"
        create_authority(*folders, federation=FEDERATION, passphrase="secret")
        with pytest.raises(BadInputError, match="already"):
            create_authority(*folders, federation=FEDERATION, passphrase="secret")

    def test_it_does_not_open_without_passphrase_or_files(self, tmp_path: Path) -> None:
        create_authority(tmp_path / "root", tmp_path / "issuing", federation=FEDERATION, passphrase="secret")
        with pytest.raises(IdentityError, match="wrong passphrase"):
            Authority.load(tmp_path / "issuing", "guess")
        with pytest.raises(NotFoundError):
            Authority.load(tmp_path / "root", "secret")


class TestCredentials:
    """What a member keeps, and checks when it gets it."""

    def test_stored_for_their_owner_only_and_read_back(self, authority: Authority, tmp_path: Path) -> None:
        credentials = enrolled(authority)
        credentials.store(tmp_path / "identity")
        assert Credentials.load(tmp_path / "identity") == credentials
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in (tmp_path / "identity").iterdir())
        assert "PRIVATE" not in repr(credentials)

    def test_missing_ones_say_how_to_get_them(self, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError, match="datalab node enrol"):
            Credentials.load(tmp_path)

    def test_they_know_how_long_they_last(self, authority: Authority) -> None:
        credentials = enrolled(authority)
        assert 6.9 < credentials.days_left() <= 7
        assert credentials.days_left(datetime.now(UTC) + timedelta(days=31)) < 0

    def test_a_certificate_for_another_member_or_key_is_refused(self, authority: Authority) -> None:
        credentials = enrolled(authority)
        with pytest.raises(IdentityError, match="not for"):
            credentials.check(Identity(FEDERATION, Role.RUNNER, "rotterdam"))
        with pytest.raises(IdentityError, match="another key"):
            Credentials(key_pem(new_key()), credentials.chain_pem, credentials.trust_pem).check(NODE)

    @pytest.mark.parametrize(
        ("away", "said"), [(timedelta(days=31), "expired at"), (-timedelta(minutes=6), "valid from")]
    )
    def test_an_expired_or_not_yet_valid_certificate_is_said_to_be_that_with_both_times(
        self, authority: Authority, away: timedelta, said: str
    ) -> None:
        credentials, now = enrolled(authority), datetime.now(UTC) + away
        bound = credentials.holder.expires if away > timedelta(0) else credentials.holder.not_before
        with pytest.raises(ClockError, match=f"{said} {bound:%Y-%m-%d %H:%M:%S}.* clock says {now:%Y-%m-%d %H:%M:%S}"):
            credentials.check(NODE, now=now)

    def test_minutes_of_a_wrong_clock_are_tolerated(self, authority: Authority) -> None:
        for away in (timedelta(minutes=4), -timedelta(minutes=4)):
            enrolled(authority).check(NODE, now=datetime.now(UTC) + away)

    def test_the_clock_is_no_excuse_for_another_authoritys_certificate(
        self, authority: Authority, make_authority: Callable[[], Authority]
    ) -> None:
        foreign = enrolled(make_authority())
        mixed = Credentials(foreign.key_pem, foreign.chain_pem, authority.trust_bundle_pem)
        with pytest.raises(IdentityError, match="not issued by") as refused:
            mixed.check(NODE, now=datetime.now(UTC) + timedelta(days=31))
        assert not isinstance(refused.value, ClockError)

    def test_another_authority_is_refused(self, authority: Authority, make_authority: Callable[[], Authority]) -> None:
        credentials = enrolled(make_authority())
        with pytest.raises(IdentityError, match="not issued by"):
            Credentials(credentials.key_pem, credentials.chain_pem, authority.trust_bundle_pem).check(NODE)

    def test_a_member_cannot_issue(self, authority: Authority) -> None:
        member = enrolled(authority)
        key = load_pem_private_key(member.key_pem, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        posing = Authority(FEDERATION, authority.root, first(member.chain_pem), key)
        forged = enrolled(posing)
        chain = forged.chain_pem + authority.certificate.public_bytes(Encoding.PEM)
        with pytest.raises(IdentityError, match="not issued by"):
            Credentials(forged.key_pem, chain, authority.trust_bundle_pem).check(NODE)
        assert holder_of(first(chain)).identity == NODE, "it is the chain that gives it away, not the name"
