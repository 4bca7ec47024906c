"""The federation's authority and register in the home of a lab, for the processes that run there."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from datalab.errors import IdentityError
from datalab.home import Home
from datalab.settings import load_settings
from federation.pki.authority import Authority, create_authority
from federation.pki.certificates import fingerprint
from federation.pki.identity import Identity, Role, holder_from_pem
from federation.pki.keys import Credentials, certificate_request, key_pem, new_key
from federation.pki.members import Invite
from federation.pki.registry import INVITE_LIFETIME, Registry
from federation.pki.standing import authority_folder, read_standing
from federation.pki.token import EnrolmentToken

ISSUING_SECRET = "issuing-ca"  # noqa: S105 - a secret's name
LAB_LIFETIME = timedelta(hours=1)
_COUNTRY = "EU"


def create_federation(home: Home, root_folder: Path | None = None) -> Authority:
    """Make the certificate authority of the federation that the home's settings name.

    Args:
        home: of the lab.
        root_folder: where the root goes, ``root-ca`` in the home if not given; to be put away afterwards.

    Raises:
        BadInputError: there is one already.
    """
    authority = create_authority(
        root_folder or home.folder("root-ca"),
        authority_folder(home, read_standing(home).issuing),
        federation=load_settings(home).federation,
        passphrase=home.secret(ISSUING_SECRET),
    )
    open_registry(home).audit.append(
        "authority.created", federation=authority.federation, root_sha256=fingerprint(authority.root)
    )
    return authority


def open_authority(home: Home) -> Authority:
    """Open the issuing authority of this home.

    Raises:
        NotFoundError: there is none yet (``datalab pki init``).
        IdentityError: it cannot be opened.
    """
    asked = datetime.now(UTC)
    standing = read_standing(home)
    others = [authority_folder(home, standing.other)] if standing.other else []
    authority = Authority.load(authority_folder(home, standing.issuing), home.secret(ISSUING_SECRET), others)
    return replace(authority, as_of=asked)


def open_registry(home: Home) -> Registry:
    """Open the register of members of this home's federation."""
    return Registry(home.folder("federation"), load_settings(home).federation)


def invite(
    home: Home,
    role: Role,
    name: str,
    *,
    organisation: str | None = None,
    country: str = _COUNTRY,
    approved: bool = True,
    lifetime: timedelta = INVITE_LIFETIME,
) -> str:
    """Invite a member; return its enrolment token as text, which is a secret.

    The gateway must be running, because the token says where it listens. Arguments and errors are those of
    ``Registry.invite``; without an organisation, the member is the federation's own.

    Raises:
        NotFoundError: the gateway is not running, or there is no authority yet.
    """
    authority = open_authority(home)
    gateway = home.address("gateway")
    secret = open_registry(home).invite(
        role,
        name,
        organisation=organisation or authority.federation,
        country=country,
        approved=approved,
        lifetime=lifetime,
    )
    return EnrolmentToken(
        address=f"{gateway['host']}:{gateway['enrolment_port']}",
        secret=secret,
        federation=authority.federation,
        role=role,
        name=name,
        ca=authority.root.public_bytes(Encoding.DER),
    ).encode()


def issue_gateway_certificate(home: Home, name: str = "gateway") -> Credentials:
    """Make a key and a certificate for the gateway process that calls this; the key stays in its memory.

    The certificate is for ``localhost`` and the address in the settings under ``bind``.
    """
    bind = load_settings(home).bind
    names, addresses = {"localhost"}, {ip_address("127.0.0.1")}
    try:
        addresses.add(ip_address(bind))
    except ValueError:
        names.add(bind)
    return _issue_here(home, Role.GATEWAY, name, dns_names=sorted(names), ips=sorted(addresses, key=str))


def lab_credentials(home: Home) -> Credentials:
    """Return the credentials with which a process of the lab asks the gateway something.

    They are kept in the home, and made anew once they are due, revoked, or of an authority that no longer issues.
    """
    folder = home.path / "identity"
    authority = open_authority(home)
    if Credentials.exist(folder):
        kept = Credentials.load(folder)
        try:
            open_registry(home).check_admitted(kept.holder)
        except IdentityError:
            pass  # whoever revoked it did not mean the lab itself, which holds the authority
        else:
            current = authority.issuer_pem in kept.chain_pem and kept.trust_pem == authority.trust_bundle_pem
            if current and datetime.now(UTC) < kept.holder.renewal_due:
                return kept
    made = _issue_here(home, Role.LAB, "lab", lifetime=LAB_LIFETIME)
    made.store(folder)
    return made


def member_lifetime(home: Home) -> timedelta:
    """Return for how long certificates are issued in this home."""
    return timedelta(hours=load_settings(home).certificates.hours)


def _issue_here(
    home: Home,
    role: Role,
    name: str,
    *,
    lifetime: timedelta | None = None,
    dns_names: list[str] | None = None,
    ips: list[IPv4Address | IPv6Address] | None = None,
) -> Credentials:
    authority = open_authority(home)
    key = new_key()
    chain = authority.issue(
        certificate_request(key),
        Identity(authority.federation, role, name),
        lifetime=lifetime or member_lifetime(home),
        dns_names=dns_names or (),
        ips=ips or (),
    )
    now = datetime.now(UTC)
    here = Invite(role=role, name=name, organisation=authority.federation, country=_COUNTRY, created=now, expires=now)
    open_registry(home).record_certificate(here, holder_from_pem(chain))
    return Credentials(key_pem(key), chain, authority.trust_bundle_pem)
