"""The lab server that these tests visit."""

from __future__ import annotations

import pytest

from catalog.records import Role
from datalab.home import Home
from datalab.storage.store import ObjectStore
from tests.integration.catalog.conftest import Staging, catalog_home
from tests.support.pages import Person, settle

__all__ = ["catalog_home"]


@pytest.fixture
def staging(object_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Staging:
    return Staging(object_store, tmp_path_factory.mktemp("staging"))


@pytest.fixture(scope="module")
def people(catalog_home: Home) -> dict[Role, Person]:
    """One person of each role that a person can have."""
    named = {
        Role.STEWARD: "stella",
        Role.RESEARCHER: "rosa",
        Role.ACCESS_BODY: "anton",
        Role.AUDITOR: "audrey",
        Role.OPERATOR: "olga",
    }
    return {role: settle(catalog_home, name, role) for role, name in named.items()}
