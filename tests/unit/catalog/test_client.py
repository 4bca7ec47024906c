from __future__ import annotations

from pathlib import Path

import pytest

from catalog.client import _ERRORS, LabClient, lab_client
from catalog.errors import ConflictError, DataMismatchError, NotPermittedError, TooLargeError
from catalog.web.errors import status_of
from datalab.errors import BadInputError, DatalabError, IdentityError, NotFoundError, ServiceFailedError
from datalab.home import Home


@pytest.mark.parametrize(
    "kind",
    [BadInputError, ConflictError, DataMismatchError, IdentityError, NotFoundError, NotPermittedError, TooLargeError],
)
def test_an_error_comes_back_as_the_kind_that_it_left_as(kind: type[DatalabError]) -> None:
    back = _ERRORS[status_of(kind("what"))]
    assert issubclass(kind, back)
    assert back.exit_code == kind.exit_code


def test_a_lab_that_is_not_there_is_one_clear_sentence(tmp_path: Path) -> None:
    with LabClient("http://127.0.0.1:1", "token") as client, pytest.raises(ServiceFailedError, match="does not answer"):
        client.health()
    with pytest.raises(NotFoundError, match="lab is not running"):
        lab_client(Home(tmp_path), "operator")
