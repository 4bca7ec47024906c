"""Lists of revoked permits that somebody passes on: the latest by each pinned key is kept, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from joserfc.jwk import OKPKey

from datalab.permits.errors import PermitError, Reason
from datalab.permits.keys import generate_key, key_id
from datalab.permits.lists import RevocationFiles
from datalab.permits.revocation import sign_revocations
from tests.unit.permits.conftest import NOW


def test_a_later_list_takes_the_place_of_an_earlier_one_and_never_the_other_way_round(
    key: OKPKey, tmp_path: Path
) -> None:
    files, other = RevocationFiles(tmp_path), generate_key()
    lists = [sign_revocations(["P-1"][:number], key, issued=NOW + timedelta(seconds=number)) for number in range(2)]
    assert files.take(lists[0], [other, key], now=NOW)[2]
    signer, found, kept = files.take(lists[1], [other, key], now=NOW)
    assert (signer, found.ids, kept) == (key_id(key), frozenset({"P-1"}), True)
    assert not files.take(lists[0], [key], now=NOW)[2]
    assert not files.take(lists[1], [key], now=NOW)[2]
    anothers = sign_revocations([], other, issued=NOW - timedelta(days=400))
    assert files.take(anothers, [other, key], now=NOW)[2], "however old: it may name permits that still run"
    assert sorted(files.tokens()) == sorted([lists[1], anothers])


def test_an_earlier_list_does_not_replace_a_later_one_because_the_clock_was_set_back(
    key: OKPKey, tmp_path: Path
) -> None:
    files = RevocationFiles(tmp_path)
    later, earlier = (
        sign_revocations(ids, key, issued=NOW - timedelta(days=days)) for ids, days in ((["P-1"], 0), ([], 2))
    )
    assert files.take(later, [key], now=NOW)[2]
    assert not files.take(earlier, [key], now=NOW - timedelta(days=1))[2]
    assert files.tokens() == (later,)


@pytest.mark.parametrize("case", ["another key", "from the future", "no list"])
def test_what_is_not_gone_by_is_not_kept(key: OKPKey, tmp_path: Path, case: str) -> None:
    token, reason = {
        "another key": (sign_revocations([], generate_key(), issued=NOW), Reason.UNKNOWN_KEY),
        "from the future": (sign_revocations([], key, issued=NOW + timedelta(hours=1)), Reason.NOT_YET_VALID),
        "no list": ("x" * 100_000, Reason.MALFORMED),
    }[case]
    with pytest.raises(PermitError) as error:
        RevocationFiles(tmp_path).take(token, [key], now=NOW)
    assert error.value.reason == reason
    assert RevocationFiles(tmp_path).tokens() == ()
