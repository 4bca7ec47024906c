"""Slips of the hand at a holder cost neither the raw file nor its secrecy."""

from __future__ import annotations

from pathlib import Path

import pytest

from datalab.curation.contract import load_contract
from datalab.curation.deidentify import prepare
from datalab.errors import BadInputError
from tests.support.federation import TOY_CONTRACT

RAW = "x,event\n" + "".join(f"{number},{number % 2}\n" for number in range(20))


def test_a_data_file_taken_for_a_contract_is_not_printed(tmp_path: Path) -> None:
    for text in (RAW, "pid: 4711\nname: Jane Doe\n"):
        (tmp_path / "patients.csv").write_text(text, encoding="utf-8")
        with pytest.raises(BadInputError) as refused:
            load_contract(tmp_path / "patients.csv")
        assert "Jane Doe" not in str(refused.value)
        assert "4711" not in str(refused.value)
        assert "19,1" not in str(refused.value)


def test_the_raw_file_is_not_written_over(tmp_path: Path) -> None:
    raw = tmp_path / "raw.csv"
    raw.write_text(RAW, encoding="utf-8")
    for out in (raw, tmp_path / "." / "raw.csv", tmp_path):
        with pytest.raises(BadInputError, match="--out"):
            prepare(load_contract(TOY_CONTRACT), raw, out)
    assert raw.read_text(encoding="utf-8") == RAW


def test_a_file_with_nothing_to_pass_on_is_refused_and_the_rejects_file_is_named_rightly(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw.csv", tmp_path / "out.csv"
    for text in ("x,event\n", "x,event\n1,9\n", "y,event\n1,1\n"):
        raw.write_text(text, encoding="utf-8")
        with pytest.raises(BadInputError) as refused:
            prepare(load_contract(TOY_CONTRACT), raw, out)
        assert str(tmp_path / "out.rejects.csv") in str(refused.value)
        assert (tmp_path / "out.rejects.csv").is_file()
        assert not out.exists()
