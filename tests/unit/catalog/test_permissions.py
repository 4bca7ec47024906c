from __future__ import annotations

import pytest

from catalog.errors import NotPermittedError
from catalog.permissions import ALLOWED, Action, check_holder, check_may, may
from catalog.records import Role
from tests.unit.catalog.examples import account

PERSONS = {Role.OPERATOR, Role.STEWARD, Role.RESEARCHER, Role.ACCESS_BODY, Role.AUDITOR}


def test_the_table_says_something_about_every_action() -> None:
    assert set(ALLOWED) == set(Action)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("action", Action)
def test_what_the_table_does_not_allow_is_refused(role: Role, action: Action, monkeypatch: pytest.MonkeyPatch) -> None:
    if may(role, action):
        check_may(account(role), action)
    else:
        with pytest.raises(NotPermittedError, match=action):
            check_may(account(role), action)
    monkeypatch.delitem(ALLOWED, action)
    with pytest.raises(NotPermittedError, match="nobody"):
        check_may(account(role), action)


@pytest.mark.parametrize(
    ("action", "roles"),
    [
        (Action.VERSION_PUBLISH, {Role.PIPELINE}),
        (Action.VERSION_ANNOUNCE, {Role.GATEWAY}),
        (Action.ACCOUNT_CREATE, {Role.OPERATOR}),
        (Action.EVENT_READ, {Role.OPERATOR, Role.AUDITOR}),
    ],
)
def test_powers_that_only_these_roles_have(action: Action, roles: set[Role]) -> None:
    assert {role for role in Role if may(role, action)} == roles


def test_no_person_gets_keys_of_files_and_no_service_downloads() -> None:
    assert not ALLOWED[Action.VERSION_FILES] & PERSONS
    assert ALLOWED[Action.VERSION_DOWNLOAD] <= PERSONS


def test_a_steward_acts_for_their_own_organisation_only() -> None:
    check_holder(account(Role.STEWARD, organisation="gbsg"), "gbsg")
    check_holder(account(Role.OPERATOR), "gbsg")
    with pytest.raises(NotPermittedError, match="own organisation"):
        check_holder(account(Role.STEWARD, organisation="erasmus"), "gbsg")
