"""An authority, and what its members get from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from federation.pki.authority import Authority, create_authority
from federation.pki.identity import Identity, Role
from federation.pki.keys import Credentials, certificate_request, key_pem, new_key

FEDERATION = "datalab.test"
NODE = Identity(FEDERATION, Role.NODE, "rotterdam")


@pytest.fixture(scope="session")
def make_authority(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Authority]:
    """Makes an authority in folders of its own."""

    def make() -> Authority:
        folder: Path = tmp_path_factory.mktemp("authority")
        return create_authority(folder / "root", folder / "issuing", federation=FEDERATION, passphrase="secret")

    return make


@pytest.fixture(scope="session")
def authority(make_authority: Callable[[], Authority]) -> Authority:
    """The federation's authority."""
    return make_authority()


def enrolled(authority: Authority, identity: Identity = NODE) -> Credentials:
    """Credentials as a member has them."""
    key = new_key()
    chain = authority.issue(certificate_request(key), identity)
    return Credentials(key_pem(key), chain, authority.trust_bundle_pem)


def first(chain: bytes) -> x509.Certificate:
    """The member's own certificate in a chain."""
    return x509.load_pem_x509_certificates(chain)[0]
