"""Planted faults: each is found with its file, physical line, column and rule, and never with its value."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from datalab.curation.contract import load_contract
from datalab.curation.deidentify import prepare
from datalab.curation.engine import Limits, curate
from datalab.curation.report import CurationReport
from datalab.errors import BadInputError, DatalabError, NotFoundError, NotWritableError
from tests.unit.curation.examples import HEADER, write_contract, write_csv

GOOD = ("1,50,f,60.5,0", "2,51,m,?,1", "3,52,f,,9")


def curate_ward(folder: Path, raw: Path, *changes: tuple[str, str], prepared: bool = False) -> CurationReport:
    return curate(load_contract(write_contract(folder, *changes)), raw, folder / "out", prepared=prepared)


def rejects(path: Path) -> list[tuple[int, int, str, str, str]]:
    with path.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == ["file", "line", "record", "column", "rule", "value_class"]
    return [(int(one["line"]), int(one["record"]), one["column"], one["rule"], one["value_class"]) for one in found]


def test_without_faults_the_rejects_file_has_its_header_only(tmp_path: Path) -> None:
    report = curate_ward(tmp_path, write_csv(tmp_path / "ward.csv", *GOOD))
    assert (report.rows_in, report.rows, report.rejected_rows, report.excluded) == (3, 2, 0, {"not known": 1})
    assert (tmp_path / "out" / "rejects.csv").read_text() == "file,line,record,column,rule,value_class\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["data.parquet", "rejects.csv", "report.json"]
    assert CurationReport.model_validate_json((tmp_path / "out" / "report.json").read_bytes()) == report


def test_no_name_in_the_rejects_file_is_a_formula_to_a_spreadsheet(tmp_path: Path) -> None:
    raw = tmp_path / "-ward.csv"
    curate_ward(tmp_path, write_csv(raw, *(f"{row},1,2" for row in GOOD), header=f"{HEADER},=CALL(A1),@x"))
    with (tmp_path / "out" / "rejects.csv").open(newline="") as file:
        cells = {cell for row in csv.reader(file) for cell in row}
    assert {"'-ward.csv", "'=CALL(A1)", "'@x"} <= cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


@pytest.mark.parametrize(
    ("row", "finding"),
    [
        ("4,5o,f,60,0", ("Age", "type", "text")),
        ("4,50.5,f,60,0", ("Age", "type", "number")),
        ("4,1_0,f,60,0", ("Age", "type", "text")),
        ("4,0x1F,f,60,0", ("Age", "type", "text")),
        ("4,99999999999999999999,f,60,0", ("Age", "type", "number")),
        ("4,,f,60,0", ("Age", "required", "empty")),
        ("4,?,f,60,0", ("Age", "required", "missing marker")),
        ("4,121,f,60,0", ("Age", "range", "number")),
        ("4,-1,f,60,0", ("Age", "range", "number")),
        ("4,50,x,60,0", ("Sex", "code list", "text")),
        ("4,50,F,60,0", ("Sex", "code list", "text")),
        ("4,50,f,nan,0", ("Weight", "type", "text")),
        ("4,50,f,1e999,0", ("Weight", "type", "number")),
        ('4,50,f,"60,5",0', ("Weight", "type", "text")),
        ("4,50,f,60,2", ("Ill", "code list", "number")),
        ("4,50,f,60", ("", "field count", "")),
        ("4,50,f,60,0,1", ("", "field count", "")),
        ('4,50,f",60,0', ("", "quote", "")),
    ],
)
def test_a_planted_fault(tmp_path: Path, row: str, finding: tuple[str, str, str]) -> None:
    report = curate_ward(tmp_path, write_csv(tmp_path / "ward.csv", *GOOD, row, "5,50,f,60,0"))
    assert rejects(tmp_path / "out" / "rejects.csv") == [(5, 4, *finding)]
    assert (report.rows_in, report.rows, report.rejected_rows) == (5, 3, 1)


@pytest.mark.parametrize(
    "row", ["4, 50 ,f,60,0", "4,50.0,f,60,0", "4,+50,f,.5e2,0", '"4","50","f","60","0"', "4,050,f,60,0\r"]
)
def test_the_same_value_written_otherwise_is_no_fault(tmp_path: Path, row: str) -> None:
    assert curate_ward(tmp_path, write_csv(tmp_path / "ward.csv", *GOOD, row)).rows == 3


def test_a_row_with_two_faults_has_two_findings_and_is_one_rejected_row(tmp_path: Path) -> None:
    report = curate_ward(tmp_path, write_csv(tmp_path / "ward.csv", *GOOD, "4,200,x,60,0"))
    assert rejects(tmp_path / "out" / "rejects.csv") == [
        (5, 4, "Age", "range", "number"),
        (5, 4, "Sex", "code list", "text"),
    ]
    assert report.rejected_rows == 1


def test_lines_are_those_of_the_file_after_quoted_newlines_blank_lines_and_broken_rows(tmp_path: Path) -> None:
    raw = tmp_path / "ward.csv"
    raw.write_bytes(
        b'"Patient number",Age,Sex,Weight,Ill,"Free\ntext"\r\n'  # lines 1 and 2
        b'1,50,f,60,0,"two\nlines"\r\n'  # 3
        b"\r\n"  # 5
        b"2,50,f,60\r\n"  # 6
        b'3,50,f,6o,0,"three\n\nlines"\r\n'  # 7
        b"4,50,q,60,0,\r\n"  # 10
    )
    report = curate_ward(tmp_path, raw)
    assert rejects(tmp_path / "out" / "rejects.csv") == [
        (1, 0, "Free\ntext", "unknown column", ""),
        (6, 2, "", "field count", ""),
        (7, 3, "Weight", "type", "text"),
        (10, 4, "Sex", "code list", "text"),
    ]
    assert (report.rows_in, report.rows, report.rejected_rows) == (4, 1, 3)


def test_no_value_is_told_anywhere(tmp_path: Path) -> None:
    secret = "Jane-Doe-1961"
    curate_ward(tmp_path, write_csv(tmp_path / "ward.csv", *GOOD, f"{secret},{secret},{secret},{secret},{secret}"))
    for path in (tmp_path / "out").iterdir():
        assert secret.encode() not in path.read_bytes()


def test_columns_in_another_order_are_found_by_name(tmp_path: Path) -> None:
    raw = write_csv(tmp_path / "ward.csv", "0,60,f,50,1", header="Ill,Weight,Sex,Age,Patient number")
    assert curate_ward(tmp_path, raw).rows == 1


@pytest.mark.parametrize(
    ("header", "findings", "message"),
    [
        (
            "Patient number,Agee,Sex,Weight,Ill",
            [("Agee", "unknown column"), ("Age", "missing column")],
            "no column Age",
        ),
        ("Patient number,Age,Age,Weight,Ill", [("Age", "repeated column"), ("Sex", "missing column")], "Age more than"),
    ],
)
def test_a_missing_column_rejects_all_rows(
    tmp_path: Path, header: str, findings: list[tuple[str, str]], message: str
) -> None:
    raw = write_csv(tmp_path / "ward.csv", *GOOD, header=header)
    with pytest.raises(BadInputError, match=message) as refused:
        curate_ward(tmp_path, raw)
    assert refused.value.where == "ward.csv, line 1"
    assert rejects(tmp_path / "out" / "rejects.csv") == [(1, 0, column, rule, "") for column, rule in findings]
    report = CurationReport.model_validate_json((tmp_path / "out" / "report.json").read_bytes())
    assert (report.rows_in, report.rows, report.rejected_rows, report.passed) == (3, 0, 3, False)
    assert not (tmp_path / "out" / "data.parquet").exists()


def test_a_file_without_its_header_is_refused_and_its_first_row_not_told(tmp_path: Path) -> None:
    raw = write_csv(tmp_path / "ward.csv", *GOOD[1:], header=GOOD[0])
    with pytest.raises(BadInputError, match="The file has no header"):
        curate_ward(tmp_path, raw)
    assert rejects(tmp_path / "out" / "rejects.csv") == [(1, 0, "", "no header", "")]
    report = CurationReport.model_validate_json((tmp_path / "out" / "report.json").read_bytes())
    assert (report.rows_in, report.rejected_rows) == (3, 3)


def test_a_missing_column_that_is_not_required_is_a_finding_only(tmp_path: Path) -> None:
    raw = write_csv(tmp_path / "ward.csv", "1,50,f,0", header="Patient number,Age,Sex,Ill")
    report = curate_ward(tmp_path, raw)
    assert rejects(tmp_path / "out" / "rejects.csv") == [(1, 0, "Weight", "missing column", "")]
    assert (report.rows, report.rejected_rows) == (1, 0)


def test_a_contract_may_stop_at_the_first_reject(tmp_path: Path) -> None:
    stop = ("value: 3}\n", "value: 3}\n  - {property: datalab.onReject, value: stop}\n")
    raw = write_csv(tmp_path / "ward.csv", *GOOD, "4,50,x,60,0")
    with pytest.raises(BadInputError, match="1 of 4 records break the contract, which says to stop"):
        curate_ward(tmp_path, raw, stop)
    assert rejects(tmp_path / "out" / "rejects.csv") == [(5, 4, "Sex", "code list", "text")]
    assert not (tmp_path / "out" / "data.parquet").exists()


def test_an_unprepared_file_is_refused_where_a_prepared_one_is_due(tmp_path: Path) -> None:
    raw = write_csv(tmp_path / "ward.csv", *GOOD)
    with pytest.raises(BadInputError, match="direct identifier column Patient number, which may not leave its holder"):
        curate_ward(tmp_path, raw, prepared=True)


@pytest.mark.parametrize("age", ["52", "50-54", "51-60", "50-5x", "130-139"])
def test_a_prepared_file_holds_the_contracts_bands(tmp_path: Path, age: str) -> None:
    raw = write_csv(tmp_path / "ward.csv", "50-59,f,60,0", f"{age},f,60,0", header="Age,Sex,Weight,Ill")
    report = curate_ward(tmp_path, raw, prepared=True)
    assert (report.rows, report.rejected_rows) == (1, 1)


def test_what_arrives_with_rare_people_in_it_fails_the_check(tmp_path: Path) -> None:
    rows = ["50-59,f,60,0"] * 3 + ["60-69,m,60,0"] * 2
    report = curate_ward(tmp_path, write_csv(tmp_path / "ward.csv", *rows, header="Age,Sex,Weight,Ill"), prepared=True)
    assert [(check.name, check.found) for check in report.checks if not check.passed] == [("k-anonymity", 2)]


def test_rejected_rows_are_never_passed_on(tmp_path: Path) -> None:
    contract = load_contract(write_contract(tmp_path))
    raw = write_csv(tmp_path / "ward.csv", *["1,50,f,60,0"] * 3, "4,50,f,heavy,0")
    report = prepare(contract, raw, tmp_path / "sent" / "ward.csv")
    assert (report.rows_in, report.rows_out, report.rejected_rows, report.suppressed) == (4, 3, 1, 0)
    assert (tmp_path / "sent" / "ward.csv").read_text() == "Age,Sex,Weight,Ill\n" + "50-59,f,60.0,0\n" * 3
    assert rejects(tmp_path / "sent" / "ward.rejects.csv") == [(5, 4, "Weight", "type", "text")]


def test_an_expression_that_fails_on_a_row_is_named_without_the_value(tmp_path: Path) -> None:
    raw = write_csv(tmp_path / "ward.csv", "1,0,f,60,0")
    with pytest.raises(BadInputError, match="property weight cannot be computed") as refused:
        curate_ward(tmp_path, raw, ("transformLogic: weight", "transformLogic: ln(age)"))
    assert refused.value.where == "contract ward 1.0.0"


def test_too_little_memory_is_said_in_a_sentence(tmp_path: Path) -> None:
    raw = write_csv(tmp_path / "ward.csv", *GOOD)
    with pytest.raises(DatalabError, match="needs more memory than 1MB"):
        curate(load_contract(write_contract(tmp_path)), raw, tmp_path / "out", limits=Limits(memory="1MB"))


@pytest.mark.parametrize("expression", ["ln(sex)", "CAST(sex AS DOUBLE)"])
def test_an_expression_of_the_wrong_type_is_named(tmp_path: Path, expression: str) -> None:
    raw = write_csv(tmp_path / "ward.csv", *GOOD)
    with pytest.raises(BadInputError, match="property weight cannot be computed"):
        curate_ward(tmp_path, raw, ("transformLogic: weight", f"transformLogic: {expression}"))


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(NotWritableError, match="Cannot write to the folder"):
        curate_ward(tmp_path, write_csv(tmp_path / "ward.csv", *GOOD))


def test_a_raw_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="There is no raw file"):
        curate_ward(tmp_path, tmp_path / "none.csv")


def test_a_file_of_two_windows_keeps_its_line_numbers(tmp_path: Path) -> None:
    rows = [f"{number},50,{'x' if number % 5000 == 0 else 'f'},60,0" for number in range(1, 60_001)]
    raw = write_csv(tmp_path / "ward.csv", *rows)
    assert len(HEADER) + raw.stat().st_size > 2 * 256 * 1024
    contract = load_contract(write_contract(tmp_path))
    report = curate(contract, raw, tmp_path / "out", limits=Limits(memory="64MB", threads=2))
    assert [line for line, *_ in rejects(tmp_path / "out" / "rejects.csv")] == list(range(5001, 60_002, 5000))
    assert (report.rows, report.rejected_rows) == (59_988, 12)
