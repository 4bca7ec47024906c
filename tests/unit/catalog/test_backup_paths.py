"""A backup's manifest names the files that a backup has and no others: it may have lain at somebody else's."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from catalog.backup import Entry
from tests.unit.catalog.examples import SHA


@pytest.mark.parametrize(
    "path",
    ["catalog/records.duckdb", "home/permit-keys/stewards/a b.jwk", "home/erasures/1.jws", "home/secrets/erasure-key"],
)
def test_a_file_of_a_backup_is_taken(path: str) -> None:
    assert Entry(path=path, sha256=SHA, bytes=1).path == path


@pytest.mark.parametrize(
    "path",
    [
        "home/../../.ssh/authorized_keys",
        "home/permit-keys/../../../elsewhere",
        "/etc/cron.d/job",
        "home//etc/cron.d/job",
        "home/secrets/token-operator",
        "home/datalab.toml",
        "home/permit-keys-of-mine/x",
        "catalog/../x",
    ],
)
def test_a_file_that_no_backup_has_is_refused(path: str) -> None:
    with pytest.raises(ValidationError, match="no backup has"):
        Entry(path=path, sha256=SHA, bytes=1)
