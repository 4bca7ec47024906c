"""The real services that integration tests share: started once, each in its own process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from datalab.home import Home
from datalab.storage import store
from datalab.storage.service import SERVICE
from datalab.storage.store import ObjectStore
from datalab.supervisor import Supervisor


@pytest.fixture(scope="session")
def supervisor() -> Iterator[Supervisor]:
    """A supervisor for the whole session; what it started ends with it."""
    with Supervisor() as running:
        yield running


@pytest.fixture(scope="session")
def lab_home(supervisor: Supervisor, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A lab's home on free ports, with the object store running."""
    home = Home(tmp_path_factory.mktemp("lab"))
    (home.path / "datalab.toml").write_text("[ports]\nobject_store = 0\nlab = 0\ngateway = 0\nenrolment = 0\n")
    supervisor.start(SERVICE.name, SERVICE.module, home)
    return home


@pytest.fixture(scope="session")
def object_store(lab_home: Home) -> ObjectStore:
    """The object store as the lab's own user sees it."""
    return store.connect(lab_home)
