from __future__ import annotations

from pathlib import Path

import pytest

from catalog.accounts import SERVICE_ROLES, Accounts
from catalog.errors import ConflictError
from catalog.records import AccountDraft, Role
from catalog.store import Store
from datalab.errors import IdentityError
from datalab.home import Home


def test_a_token_is_its_account_and_is_stored_nowhere(tmp_path: Path) -> None:
    store = Store(tmp_path / "records.duckdb")
    accounts = Accounts(store)
    draft = AccountDraft(name="maria", role=Role.STEWARD, organisation="gbsg")
    issued = accounts.create(draft, actor="operator")
    assert accounts.authenticate(issued.token).account == draft
    with pytest.raises(ConflictError, match="there already"):
        accounts.create(draft, actor="operator")
    with pytest.raises(IdentityError):
        accounts.authenticate(issued.token + "x")
    store.close()
    assert issued.token.encode() not in (tmp_path / "records.duckdb").read_bytes()


def test_services_take_their_tokens_from_the_home_and_a_new_one_replaces_the_old(tmp_path: Path) -> None:
    home, store = Home(tmp_path), Store(tmp_path / "records.duckdb")
    accounts = Accounts(store)
    accounts.ensure_service_accounts(home)
    accounts.ensure_service_accounts(home)
    assert store.verify_events().events == len(SERVICE_ROLES)
    old = home.secret("token-runner")
    assert accounts.authenticate(old).account.role is Role.RUNNER

    (tmp_path / "secrets" / "token-runner").unlink()
    accounts.ensure_service_accounts(home)
    assert accounts.authenticate(home.secret("token-runner")).account.role is Role.RUNNER
    with pytest.raises(IdentityError):
        accounts.authenticate(old)
    store.close()
