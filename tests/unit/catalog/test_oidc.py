"""Linking an account to an identity: what was begun before the account changed hands counts no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.oidc import Oidc, Pending, Proven
from catalog.store import Store
from datalab.errors import IdentityError
from datalab.home import Home
from datalab.settings import OpenIdProvider


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "records.duckdb")
    with made.change("rosa") as change:
        change.execute("INSERT INTO credentials VALUES ('rosa', 'hash of one', NULL, 0)", [])
        change.event("account.made", "account/rosa")
    yield made
    made.close()


@pytest.mark.parametrize("what", ["DELETE FROM credentials", "UPDATE credentials SET password = 'hash of another'"])
def test_a_link_that_was_begun_before_a_withdrawal_or_a_new_password_is_refused(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    oidc = Oidc(
        store, OpenIdProvider(issuer="https://idp", client_id="lab", name="IdP"), "", Home(tmp_path).secret("k")
    )
    endpoint = "https://idp/authorize"
    monkeypatch.setattr(Oidc, "_endpoints", lambda *_: type("Said", (), {"authorization_endpoint": endpoint}))
    address, kept = oidc.begin("https://lab/callback", goal="/account", account="rosa")
    pending = Pending.model_validate_json(oidc._box.decrypt(kept.encode()))
    assert pending.password not in address
    with store.change("olga") as change:
        change.execute(what, [])
        change.event("account.changed", "account/rosa")
    with pytest.raises(IdentityError, match="changed meanwhile"):
        oidc.link(Proven("thief", second_factor=True, pending=pending))
    assert not oidc.is_linked("rosa")
