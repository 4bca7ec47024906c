"""The gateway's own certificate, as gRPC gets to see it."""

from __future__ import annotations

from pathlib import Path

import pytest

from datalab.audit.log import AuditLog
from datalab.errors import NotFoundError
from datalab.home import Home
from federation.gateway.identity import GatewayIdentity
from federation.gateway.server import _make_authority
from federation.pki.identity import Role
from federation.pki.local import create_federation, lab_credentials, open_authority, open_registry


def test_an_authority_is_made_once_and_never_for_members_who_had_another(tmp_path: Path) -> None:
    home = Home(tmp_path)
    _make_authority(home)
    first = open_authority(home).root
    _make_authority(home)
    assert open_authority(home).root == first
    lab_credentials(home)
    (tmp_path / "federation" / "issuing-ca").rename(tmp_path / "mislaid")
    with pytest.raises(NotFoundError, match="no certificate authority"):
        _make_authority(home)
    assert not (tmp_path / "federation" / "issuing-ca").exists()


def test_grpc_is_handed_a_configuration_when_the_certificate_has_changed_and_never_otherwise(tmp_path: Path) -> None:
    home = Home(tmp_path)
    create_federation(home)
    gateway = GatewayIdentity(home, AuditLog(tmp_path / "audit.jsonl"))
    gateway.server_credentials()
    gateway.enrolment_credentials()
    assert [one._fetch() for one in gateway._listeners] == [None, None], "it has the first one already"
    open_registry(home).revoke(Role.GATEWAY, "gateway")
    gateway.refresh()
    fetched = [one._fetch() for one in gateway._listeners]
    assert None not in fetched
    assert fetched[0] is not fetched[1]
    gateway.refresh()
    assert [one._fetch() for one in gateway._listeners] == [None, None]
