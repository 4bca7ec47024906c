"""What a file looks like is found by looking: its encoding, marks, types, dates; and the contract it makes works."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from click.testing import CliRunner

from datalab.curation.commands import infer as command
from datalab.curation.contract import load_contract
from datalab.curation.engine import curate
from datalab.curation.infer import Inference, infer
from datalab.curation.proposal import contract_text
from datalab.errors import BadInputError

ROWS = 60
EUROPEAN = "Größe;Gewicht;Geschlecht;Aufnahme;Nr\r\n" + "".join(
    f"{150 + row % 40};{60 + row % 30},{row % 10};{'wm'[row % 2]};{1 + row % 28:02}.0{1 + row % 9}.2021;{row}\r\n"
    for row in range(ROWS)
)


def look(folder: Path, data: bytes, *, whole: bool = True) -> Inference:
    (folder / "work").mkdir(parents=True, exist_ok=True)
    (folder / "raw.csv").write_bytes(data)
    return infer(folder / "raw.csv", folder / "work", whole=whole)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("packed", [False, True])
def test_an_export_as_table_programs_write_it_in_germany(tmp_path: Path, encoding: str, *, packed: bool) -> None:
    data = EUROPEAN.encode(encoding)
    found = look(tmp_path, gzip.compress(data) if packed else data)
    assert (found.delimiter, found.decimal, found.records, found.whole) == (";", ",", ROWS, True)
    assert found.encoding == ("windows-1252" if encoding == "cp1252" else "utf-8")
    kinds = {column.header: (column.type, column.format) for column in found.columns}
    assert kinds == {
        "Größe": ("integer", ""),
        "Gewicht": ("number", ""),
        "Geschlecht": ("string", ""),
        "Aufnahme": ("date", "dd.MM.yyyy"),
        "Nr": ("integer", ""),
    }
    assert [column.why for column in found.columns] == ["", "", "", "", "values"]
    assert (found.columns[1].low, found.columns[1].high) == (60.0, 89.9)


@pytest.mark.parametrize(
    ("values", "written"),
    [
        (["2021-01-31", "2021-12-01"], "yyyy-MM-dd"),
        (["01/02/2021", "03/04/2021"], "dd/MM/yyyy"),  # could be either
        (["01/02/2021", "03/14/2021"], "MM/dd/yyyy"),
        (["20210131", "20211201"], "yyyyMMdd"),
        (["01.02.21", "03.04.21"], ""),
        (["2021-02-30", "2021-02-31"], ""),
    ],
)
def test_how_dates_are_written(tmp_path: Path, values: list[str], written: str) -> None:
    found = look(tmp_path, "\n".join(["day,x", *(f"{value},1" for value in values)]).encode())
    assert found.columns[0].format == written


def test_the_beginning_of_a_packed_file_is_enough(tmp_path: Path) -> None:
    packed = gzip.compress((EUROPEAN * 1000).encode(), compresslevel=0)
    found = look(tmp_path, packed[: len(packed) // 2], whole=False)
    assert not found.whole
    assert found.columns[3].format == "dd.MM.yyyy"


def test_the_contract_that_comes_of_it_curates_the_file(tmp_path: Path) -> None:
    raw = tmp_path / "raw.csv"
    found = look(tmp_path, EUROPEAN.encode("cp1252"))
    path = tmp_path / "contract.odcs.yaml"
    path.write_text(contract_text(found, contract_id="ward", version="1.0.0", title="Ward"), encoding="utf-8")
    report = curate(load_contract(path), raw, tmp_path / "out")
    assert (report.rows, report.rejected_rows, report.passed) == (ROWS, 0, True)
    assert [column.name for column in report.columns] == ["groesse", "gewicht", "geschlecht", "aufnahme_year", "nr"]


def test_the_command_shows_what_it_found_and_overwrites_nothing(tmp_path: Path) -> None:
    raw, out = tmp_path / "Ward 7.csv", tmp_path / "ward.odcs.yaml"
    raw.write_bytes(EUROPEAN.replace("Nr", "Patient-Nr").encode("cp1252"))
    done = CliRunner().invoke(command, [str(raw), "--out", str(out)], catch_exceptions=False)
    said = " ".join(done.output.split())
    assert "60 records; delimiter ';', windows-1252, decimals ','" in said
    assert "stays with the holder" in said
    loaded = load_contract(out)
    assert (loaded.id, [column.name for column in loaded.export.columns if column.drop]) == ("ward-7", ["patient_nr"])
    again = CliRunner().invoke(command, [str(raw), "--out", str(out)])
    assert isinstance(again.exception, BadInputError)


JANUARY = "Fall;Größe;Befund;Datum\n" + "".join(f"J{row};{row % 3};{'ab'[row % 2]};03.01.2024\n" for row in range(40))
FEBRUARY = "Datum;Fall;Größe;Labor\n" + "".join(f"28.02.2024;F{row};{row % 3},5;{row}\n" for row in range(40))


def test_several_files_of_one_source_make_one_contract_that_all_of_them_keep(tmp_path: Path) -> None:
    files = [tmp_path / "januar.csv", tmp_path / "februar.csv.gz"]
    files[0].write_bytes(JANUARY.encode("cp1252"))
    files[1].write_bytes(gzip.compress(FEBRUARY.encode("cp1252")))
    out = tmp_path / "ward.odcs.yaml"
    done = CliRunner().invoke(command, [*map(str, files), "--out", str(out)], catch_exceptions=False)
    assert "Found in 2 files: 80 records; delimiter ';', windows-1252, decimals ','" in " ".join(done.output.split())
    loaded = load_contract(out)
    columns = {one.header: (one.domain.type, one.domain.required) for one in loaded.export.columns}
    assert columns == {
        "Fall": ("string", True),
        "Größe": ("number", True),  # whole numbers in January
        "Befund": ("string", False),  # not in February
        "Datum": ("date", True),
        "Labor": ("integer", False),
    }
    for file in files:
        report = curate(loaded, file, tmp_path / file.name.partition(".")[0])
        assert (report.rows, report.rejected_rows) == (40, 0)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (JANUARY.replace(";", ",").encode("cp1252"), "the delimiter of januar.csv is ';', and of b.csv ','"),
        (JANUARY.encode(), "the encoding of januar.csv is 'windows-1252', and of b.csv 'utf-8'"),
        (b'[{"a": 1}]', "januar.csv is csv, and b.csv json"),
        (b"Fall;Fall\n1;2\n", "The column Fall is there more than once"),
    ],
)
def test_files_that_no_one_contract_reads_are_refused_by_name(tmp_path: Path, other: bytes, said: str) -> None:
    (tmp_path / "januar.csv").write_bytes(JANUARY.encode("cp1252"))
    (tmp_path / "b.csv").write_bytes(other)
    files = [str(tmp_path / "januar.csv"), str(tmp_path / "b.csv")]
    done = CliRunner().invoke(command, [*files, "--out", str(tmp_path / "out.yaml")])
    assert isinstance(done.exception, BadInputError)
    assert said in str(done.exception)
    assert "b.csv" in (done.exception.where or "")


def messy(folder: Path) -> Path:
    """An export as a German ward's program writes it."""
    notes = ["", '"unauffällig; Kontrolle in 3 Wo."', "Tel. 06221/561234", "Übelkeit", '"mehr-\nzeilig"']
    lines = ["Patienten-Nr.;PLZ;Gewicht (kg);Hb [g/dl];CRP mg/l;Code;Bemerkung;Diagnose"]
    lines += [
        f"P{1000 + row // 2};{('01067', '69120')[row % 2]};{f'{60 + row % 40},5' if row % 9 else 'k.A.'};13,{row % 9};"
        f"{row % 7};K{row};{notes[row % 5]};{('I10', 'J45.0')[row % 2]}"
        for row in range(90)
    ]
    lines[5] = lines[5].replace(";13,", ";x13,")
    (folder / "messy.csv").write_bytes("\r\n".join(lines).encode("cp1252"))
    return folder / "messy.csv"


def test_what_a_messy_export_holds_is_seen_and_what_tells_people_stays(tmp_path: Path) -> None:
    raw, out = messy(tmp_path), tmp_path / "ward.odcs.yaml"
    done = CliRunner().invoke(command, [str(raw), "--out", str(out)], catch_exceptions=False)
    said = " ".join(done.output.split())
    assert "in bemerkung: proposed to stay" in said
    assert "Every record has another value in code." in said
    assert "1 value is of another kind" in said
    loaded = load_contract(out)
    columns = {one.name: one for one in loaded.export.columns}
    assert {name for name, one in columns.items() if one.drop} == {"patienten_nr", "plz", "bemerkung"}
    assert columns["bemerkung"].free_text
    assert columns["plz"].domain.type == "string"  # 01067 is no number
    assert not columns["gewicht_kg"].domain.required
    units = {name: one.unit for name, one in columns.items() if one.unit}
    assert units == {"gewicht_kg": "kg", "hb_g_dl": "g/dL", "crp_mg_l": "mg/L"}
    assert "06221" not in out.read_text(encoding="utf-8")
    report = curate(loaded, raw, tmp_path / "out")
    assert (report.rows, report.rejected_rows) == (89, 1)


@pytest.mark.parametrize(
    ("header", "unit"),
    [
        ("Hb [g/dl]", "g/dL"), ("Kreatinin µmol/l", "umol/L"), ("leucocytes (10^9/L)", "10*9/L"), ("RR mmHg", "mm[Hg]"),
        ("temp_°C", "Cel"), ("Alter", "a"), ("size_mm", "mm"), ("TSH mIU/L", "m[IU]/L"), ("ALT (U/l)", "U/L"),
        ("HbA1c [%]", "%"),
        ("value", ""), ("yes/no", ""), ("date of visit", ""), ("km/h or so", ""),
    ],
)  # fmt: skip
def test_a_unit_is_read_from_the_header(tmp_path: Path, header: str, unit: str) -> None:
    found = look(tmp_path, f"x;{header}\n1;2\n3;4\n".encode())
    assert found.columns[1].unit == unit


@pytest.mark.parametrize(
    ("head", "kind"), [(b"PK\x03\x04", "zip (as are .xlsx"), (b"<?xml version='1.0'?>", "XML"), (b"%PDF-1.7", "PDF")]
)
def test_what_is_no_table_at_all_is_called_by_its_name(tmp_path: Path, head: bytes, kind: str) -> None:
    with pytest.raises(BadInputError) as refused:
        look(tmp_path, head + b"\na;b\n")
    assert refused.value.what.startswith(f"The file is {kind}")
