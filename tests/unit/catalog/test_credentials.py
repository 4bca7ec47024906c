from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyotp
import pytest

from catalog import sessions as sessions_module
from catalog.accounts import Accounts
from catalog.attempts import PER_ACCOUNT
from catalog.credentials import Credentials, new_secret
from catalog.errors import ConflictError, TooManyAttemptsError
from catalog.records import AccountDraft, Role
from catalog.sessions import Sessions
from catalog.store import Store
from catalog.tokens import Tokens
from datalab.errors import BadInputError, IdentityError, NotFoundError
from datalab.home import Home

ROSA = AccountDraft(name="rosa", role=Role.RESEARCHER, organisation="start-up")
PASSWORD = "four unrelated words here"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "records.duckdb")
    yield opened
    opened.close()


@pytest.fixture
def credentials(store: Store, tmp_path: Path) -> Credentials:
    return Credentials(store, Home(tmp_path).secret("second-factor-key"))


@pytest.fixture
def rosa(credentials: Credentials) -> str:
    return credentials.accept(credentials.invite(ROSA, actor="operator").code, PASSWORD)


def test_an_invitation_leads_to_a_password_once(credentials: Credentials) -> None:
    code = credentials.invite(ROSA, actor="operator").code
    with pytest.raises(BadInputError, match="12 to 200"):
        credentials.accept(code, "short")
    with pytest.raises(BadInputError):
        credentials.accept(code, "I am ROSA, let me in")
    assert credentials.accept(code, PASSWORD) == "rosa"
    credentials.check_password("rosa", PASSWORD, address="10.0.0.1")
    for again in (code, "nonsense", ""):
        with pytest.raises(IdentityError, match="not known"):
            credentials.accept(again, PASSWORD)


def test_a_newer_invitation_replaces_an_older_and_the_newer_password_the_older(
    credentials: Credentials, rosa: str, store: Store
) -> None:
    session = Sessions(store).open(rosa, complete=True, second_factor=False)
    old, new = (credentials.invite(ROSA, actor="operator").code for _ in range(2))
    with pytest.raises(IdentityError):
        credentials.accept(old, PASSWORD)
    credentials.accept(new, "another good password")
    assert Sessions(store).find(session) is None
    with pytest.raises(IdentityError, match="do not belong together"):
        credentials.check_password(rosa, PASSWORD, address="10.0.0.1")


def test_an_invitation_changes_no_role_and_no_service(credentials: Credentials, rosa: str) -> None:
    with pytest.raises(ConflictError, match="another role"):
        credentials.invite(ROSA.model_copy(update={"role": Role.OPERATOR}), actor="operator")
    with pytest.raises(ConflictError, match="a service's account"):
        credentials.invite(AccountDraft(name="pipeline", role=Role.PIPELINE, organisation="lab"), actor="operator")


def test_a_withdrawn_account_comes_in_no_way_until_it_is_invited_again(
    credentials: Credentials, rosa: str, store: Store
) -> None:
    session = Sessions(store).open(rosa, complete=True, second_factor=False)
    _, token = Tokens(store).issue(ROSA, "notebook", days=1)
    code = credentials.invite(ROSA, actor="operator").code
    for refused in (rosa, "pipeline"):
        with pytest.raises(ConflictError, match="your own"):
            credentials.withdraw(refused, actor=rosa)
    with pytest.raises(NotFoundError, match="no account nobody"):
        credentials.withdraw("nobody", actor="olga")
    credentials.withdraw(rosa, actor="olga")
    assert Sessions(store).find(session) is None
    with pytest.raises(IdentityError):
        Accounts(store).authenticate(token)
    with pytest.raises(IdentityError):
        credentials.accept(code, PASSWORD)
    with pytest.raises(IdentityError):
        credentials.check_password(rosa, PASSWORD, address="10.0.0.1")
    assert credentials.accept(credentials.invite(ROSA, actor="olga").code, PASSWORD) == rosa


def test_an_account_is_locked_and_that_is_on_record(credentials: Credentials, rosa: str, store: Store) -> None:
    for _ in range(PER_ACCOUNT):
        with pytest.raises(IdentityError):
            credentials.check_password(rosa, "a wrong password", address="10.0.0.1")
    with pytest.raises(TooManyAttemptsError):
        credentials.check_password(rosa, PASSWORD, address="10.0.0.2")
    assert [event.subject for event in store.find_events(action="account.locked", limit=9)] == ["account/rosa"]


def test_who_came_in_before_an_invitation_was_accepted_is_outside_after_it(
    credentials: Credentials, rosa: str, store: Store
) -> None:
    _, token = Tokens(store).issue(ROSA, "mine now", days=365)
    with store.change("thief") as change:
        change.execute("INSERT INTO identities VALUES ('https://issuer', 'thief', ?)", [rosa])
        change.event("account.linked", f"account/{rosa}")
    credentials.accept(credentials.invite(ROSA, actor="operator").code, "another good password")
    with pytest.raises(IdentityError):
        Accounts(store).authenticate(token)
    assert store.rows("SELECT account FROM identities") == []


def test_a_code_of_the_second_factor_is_accepted_once(credentials: Credentials, rosa: str, store: Store) -> None:
    secret = new_secret()
    totp = pyotp.TOTP(secret)
    with pytest.raises(IdentityError, match="not the code"):
        credentials.set_second_factor(rosa, secret, totp.at(datetime.now(UTC) - timedelta(minutes=10)))
    assert not credentials.has_second_factor(rosa)
    first = totp.now()
    credentials.set_second_factor(rosa, secret, first)
    assert credentials.has_second_factor(rosa)
    with pytest.raises(IdentityError):
        credentials.check_code(rosa, first, address="10.0.0.1")
    second = totp.at(int(time.time()) + 30)
    credentials.check_code(rosa, f" {second[:3]} {second[3:]} ", address="10.0.0.1")
    with pytest.raises(IdentityError):
        credentials.check_code(rosa, second, address="10.0.0.1")
    with pytest.raises(ConflictError, match="already"):
        credentials.set_second_factor(rosa, secret, totp.at(int(time.time()) + 30))
    assert store.rows("SELECT totp FROM credentials")[0][0] not in {None, secret}


def test_nothing_that_lets_somebody_in_is_kept_as_it_is(credentials: Credentials, rosa: str, store: Store) -> None:
    code = credentials.invite(ROSA, actor="operator").code
    session = Sessions(store).open(rosa, complete=True, second_factor=False)
    _, token = Tokens(store).issue(ROSA, "notebook", days=1)
    tables = ("accounts", "credentials", "invitations", "sessions", "tokens", "events")
    kept = "".join(str(store.rows(f"SELECT * FROM {table}")) for table in tables)
    assert "argon2id" in kept
    for secret in (PASSWORD, code, session, token):
        assert secret not in kept


def test_a_session_ends_by_itself(rosa: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(store)
    key = sessions.open(rosa, complete=True, second_factor=True)
    found = sessions.find(key)
    assert found is not None
    assert (found.account, found.second_factor) == (ROSA, True)
    assert sessions.find(key[:-1]) is None
    monkeypatch.setattr(sessions_module, "now", lambda: found.expires)
    assert sessions.find(key) is None
    sessions.open(rosa, complete=True, second_factor=True)
    assert len(store.rows("SELECT * FROM sessions")) == 1


def test_a_personal_token_is_its_owners_until_it_is_revoked_or_too_old(rosa: str, store: Store) -> None:
    tokens, accounts = Tokens(store), Accounts(store)
    made, token = tokens.issue(ROSA, "notebook", days=30)
    assert accounts.authenticate(token).account == ROSA
    assert tokens.of(ROSA) == [made]
    stella = AccountDraft(name="stella", role=Role.STEWARD, organisation="gbsg")
    with pytest.raises(NotFoundError, match="no such token"):
        tokens.revoke(stella, made.id)
    tokens.revoke(ROSA, made.id)
    _, expired = tokens.issue(ROSA, "old", days=0)
    for one in (token, expired, ""):
        with pytest.raises(IdentityError):
            accounts.authenticate(one)
