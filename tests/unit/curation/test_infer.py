from __future__ import annotations

from pathlib import Path

import pytest

from datalab.curation.contract import load_contract
from datalab.curation.engine import curate
from datalab.curation.infer import ColumnDraft, Inference, infer
from datalab.curation.proposal import contract_text
from datalab.errors import BadInputError


def look(folder: Path, text: str, *, whole: bool = True) -> Inference:
    file, work = folder / "table.csv", folder / "work"
    file.write_text(text, encoding="utf-8")
    work.mkdir(exist_ok=True)
    return infer(file, work, whole=whole)


def column(found: Inference, header: str) -> ColumnDraft:
    return next(one for one in found.columns if one.header == header)


def table(header: str, *rows: str, times: int = 1) -> str:
    return "\n".join([header, *rows * times]) + "\n"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_types_units_codes_and_missing_values_are_found(tmp_path: Path, delimiter: str) -> None:
    rows = [f"{number % 3};{number};{number / 7:.3f};{'FM'[number % 2]};x{number}" for number in range(60)]
    text = table("Grade;size_mm;er;Sex;note", *rows, "1;?;;NA;plain")
    found = look(tmp_path, text.replace(";", delimiter))
    assert (found.delimiter, found.records, found.unreadable) == (delimiter, 61, 0)
    assert [one.type for one in found.columns] == ["integer", "integer", "number", "string", "string"]
    assert found.missing == ("NA", "?")
    grade, size, er, sex, _ = found.columns
    assert (grade.name, grade.codes, grade.required) == ("grade", (0, 1, 2), True)
    assert (size.unit, size.missing, size.required, size.low, size.high) == ("mm", 1, False, 0.0, 59.0)
    assert er.missing == 1
    assert (sex.codes, sex.missing) == (("F", "M"), 1)


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("patient_id", "name"), ("Patient-ID", "name"), ("caseNumber", "name"), ("Nachname", "name"),
        ("e-mail", "name"), ("date of birth", "name"), ("station_id", ""), ("country_name", ""),
        ("grade", ""), ("video", ""),
    ],
)  # fmt: skip
def test_identifiers_are_told_by_their_names(tmp_path: Path, header: str, why: str) -> None:
    found = look(tmp_path, table(f"{header},x", *[f"{number % 10},{number % 3}" for number in range(50)]))
    assert (column(found, header).why, column(found, header).identifier) == (why, bool(why))


def test_a_column_whose_values_all_differ_is_told_and_left_to_the_steward(tmp_path: Path) -> None:
    found = look(tmp_path, table("code,x", *[f"K{number},{number % 3}" for number in range(50)]))
    assert (column(found, "code").why, column(found, "code").identifier) == ("values", False)


def test_a_few_values_that_are_no_numbers_do_not_make_a_column_text(tmp_path: Path) -> None:
    found = look(tmp_path, table("a,b", *[f"{number},{'many' if number < 2 else number}" for number in range(100)]))
    assert (column(found, "b").type, column(found, "b").misfits) == ("integer", 2)


def test_of_the_beginning_of_a_file_the_record_that_is_cut_off_is_left_out(tmp_path: Path) -> None:
    found = look(tmp_path, table("a,b", "1,2", "3,4") + "5,6", whole=False)
    assert (found.records, found.whole, column(found, "b").high) == (2, False, 4.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,a\n1,2\n", "more than once"),
        ("a,\n1,2\n", "Column 2 has no name"),
        ("1,2\n3,4\n", "numbers in place"),
        ("a,b\n", "no record"),
        ("a,b\n1\n", "no record"),
        (",".join(f"c{n}" for n in range(501)) + "\n", "501 columns"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        look(tmp_path, text)


def test_the_contract_takes_the_file_over_column_by_column(tmp_path: Path) -> None:
    rows = [f"{number};{'?' if number == 7 else number % 5};{'ab'[number % 2]}" for number in range(40)]
    found = look(tmp_path, table("group;Select from;c ;", *rows).replace("c ;", "c "))
    path = tmp_path / "contract.odcs.yaml"
    path.write_text(contract_text(found, contract_id="x", version="1.0.0", title="X: a 'title'"), encoding="utf-8")
    report = curate(load_contract(path), tmp_path / "table.csv", tmp_path / "out")
    assert (report.rows_in, report.rows, report.rejected_rows) == (40, 40, 0)
    assert [(one.name, one.missing) for one in report.columns] == [("group", 0), ("select_from", 1), ("c", 0)]
