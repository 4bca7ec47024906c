from __future__ import annotations

import pytest

from catalog.downloads import check_download
from catalog.errors import NotPermittedError
from catalog.records import Dataset, DatasetDraft, Role
from catalog.store import now
from tests.unit.catalog.examples import account, anonymous, at_site, draft


def registered(stated: DatasetDraft) -> Dataset:
    return Dataset(**stated.model_dump(), created=now(), updated=now(), revision=1)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("stated", [draft(), draft(access="federated-only"), at_site()])
def test_personal_data_leaves_in_nobodys_hands(stated: DatasetDraft, role: Role) -> None:
    with pytest.raises(NotPermittedError, match="Article 73"):
        check_download(registered(stated), account(role, organisation=stated.holder))


def test_anonymous_data_leaves_on_its_own_terms() -> None:
    researcher = account(Role.RESEARCHER)
    check_download(registered(anonymous()), researcher)
    restricted = registered(anonymous(id="r").model_copy(update={"access": "restricted"}))
    with pytest.raises(NotPermittedError, match="no permit in force"):
        check_download(restricted, researcher)
    check_download(restricted, account(Role.STEWARD, organisation="gbsg"))
    with pytest.raises(NotPermittedError, match="own organisation"):
        check_download(restricted, account(Role.STEWARD, organisation="erasmus"))
    federated = registered(anonymous(id="f").model_copy(update={"access": "federated-only"}))
    with pytest.raises(NotPermittedError, match="federated runs only"):
        check_download(federated, account(Role.OPERATOR))
