"""``datalab dataset prepare`` and ``datalab dataset curate`` as a data holder runs them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from datalab.curation.commands import curate, prepare
from datalab.curation.report import PreparationReport
from datalab.errors import BadInputError
from tests.unit.curation.examples import write_contract, write_csv


def run(command: object, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(one) for one in arguments], catch_exceptions=True)  # type: ignore[arg-type]


def test_prepare_shows_the_loss(tmp_path: Path) -> None:
    raw = write_csv(tmp_path / "ward.csv", *["1,50,f,60,0"] * 3, "4,90,f,60,0", "5,50,f,60,7")
    result = run(
        prepare, write_contract(tmp_path), raw, "--out", tmp_path / "sent.csv", "--report", tmp_path / "report.json"
    )
    assert result.exit_code == 0, result.output
    assert "1 (25.0%)" in result.output
    assert f"1 record breaks the contract; all findings are in {tmp_path}/sent.rejects.csv" in result.stderr
    assert "ward.csv:6 Ill: code list" in result.stderr
    report = PreparationReport.model_validate_json((tmp_path / "report.json").read_bytes())
    assert (report.rows_in, report.rows_out, report.suppressed) == (5, 3, 1)


def test_curate_shows_what_became_of_the_records(tmp_path: Path) -> None:
    raw = write_csv(tmp_path / "ward.csv", "1,50,f,60,0", "2,50,f,60,9", "3,50,x,60,1")
    result = run(curate, write_contract(tmp_path), raw, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "Excluded: not known" in result.output
    assert "ward.csv:4 Sex: code list" in result.stderr


def test_curate_fails_where_a_check_does(tmp_path: Path) -> None:
    raw = write_csv(tmp_path / "ward.csv", "50-59,f,60,0", header="Age,Sex,Weight,Ill")
    result = run(curate, write_contract(tmp_path), raw, "--out", tmp_path / "out", "--prepared")
    assert isinstance(result.exception, BadInputError)
    assert "1 of 7 checks failed; the first: Each combination of age, sex" in result.exception.what


@pytest.mark.parametrize("command", [curate, prepare])
def test_help_reads_like_prose(command: object) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "CONTRACT" in result.output
