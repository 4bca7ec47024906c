"""A partition's key says whose data it is, which dataset, and which version."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalab.errors import BadInputError
from pipelines.defs.curation.partitions import DatasetVersionKey

slugs = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


@given(st.builds(DatasetVersionKey, slugs, slugs, st.integers(1, 1_000_000)))
def test_a_key_reads_back_as_it_was_written(key: DatasetVersionKey) -> None:
    assert DatasetVersionKey.parse(str(key)) == key


@pytest.mark.parametrize("key", ["", "gbsg|breast-cancer", "gbsg|breast-cancer|one", "a|b|1|2", "a|b|-1"])
def test_anything_else_is_refused(key: str) -> None:
    with pytest.raises(BadInputError, match=r"<holder>\|<dataset>\|<version>"):
        DatasetVersionKey.parse(key)
