"""Files made to exhaust the reader are refused with a sentence, within bounded memory."""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from datalab.curation.contract import load_contract
from datalab.curation.engine import curate
from datalab.errors import BadInputError
from tests.unit.curation.examples import HEADER, write_contract
from tests.unit.curation.test_nested import FLAT

_MEMORY = 512 << 20
_GIGABYTE = 1 << 30
_CHILD = """
import sys
from pathlib import Path
from datalab.curation.contract import load_contract
from datalab.curation.engine import Limits, curate
from datalab.errors import BadInputError
limits = Limits(memory="128MB", threads=1)
try:
    curate(load_contract(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]), limits=limits)
except BadInputError as error:
    print(error.what)
"""


def _line(path: Path, begin: bytes) -> None:
    """A line of a gigabyte: what it begins with and, without taking room on the disk, zeros."""
    with path.open("wb") as file:
        file.write(begin)
        file.truncate(_GIGABYTE)


def _long_line(path: Path) -> None:
    _line(path, f"{HEADER}\n1,50,f,60,0\n".encode())


def _long_quoted_line(path: Path) -> None:
    _line(path, f'{HEADER}\n1,50,"'.encode())


def _long_header(path: Path) -> None:
    _line(path, HEADER.encode())


def _many_columns(path: Path) -> None:
    path.write_text(",".join([HEADER, *(f"c{number}" for number in range(20_000))]) + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_long_line, "A record is longer than 256 KiB"),
        (_long_quoted_line, "A record is longer than 256 KiB"),
        (_long_header, "The first record does not name columns"),
        (_many_columns, "The file has 20,005 columns, and the contract 5"),
    ],
)
def test_a_file_made_to_fill_memory_or_disk(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    make(tmp_path / "ward.csv")
    contract = write_contract(tmp_path)
    with pytest.raises(BadInputError, match=message):
        curate(load_contract(contract), tmp_path / "ward.csv", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def within_memory(*arguments: object) -> str:
    """Run Python within 512 MiB, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", *map(str, arguments)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY)),
    )
    return done.stdout


def _bomb(path: Path) -> None:
    """A gzip file of half a megabyte that unpacks to a line of 512 MB."""
    pack = zlib.compressobj(9, wbits=31)
    zeros = bytes(1 << 24)
    with path.open("wb") as file:
        file.write(pack.compress(f"{HEADER}\n".encode()))
        for _ in range(32):
            file.write(pack.compress(zeros))
        file.write(pack.flush())


def _rows_bomb(path: Path) -> None:
    """A gzip file of half a megabyte that unpacks to 200 MB of rows that keep the contract."""
    pack = zlib.compressobj(9, wbits=31)
    rows = b"1,50,f,60,0\n" * (1 << 20)
    with path.open("wb") as file:
        file.write(pack.compress(f"{HEADER}\n".encode()))
        for _ in range(16):
            file.write(pack.compress(rows))
        file.write(pack.flush())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_long_line, "longer than 256 KiB"),
        (_bomb, "longer than 256 KiB"),
        (_rows_bomb, "unpacks to more than 250 times its size"),
        (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(1 << 20)), "The file is zip"),
        (lambda path: path.write_bytes(b"<?xml version='1.0'?>" + b"<a>" * 100_000), "The file is XML"),
    ],
)
def test_it_takes_no_memory_to_speak_of(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    make(tmp_path / "ward.csv")
    said = within_memory(_CHILD, write_contract(tmp_path), tmp_path / "ward.csv", tmp_path / "out")
    assert message in said


_MANY = """
import json, sys
from collections import Counter
from pathlib import Path
from datalab.curation.contract import load_contract
from datalab.curation.engine import Limits, curate
from datalab.errors import BadInputError
contract, folder = load_contract(Path(sys.argv[1])), Path(sys.argv[2])
found = Counter()
for raw in sorted(folder.glob("*.parquet")):
    try:
        report = curate(contract, raw, folder / "out", limits=Limits(memory="128MB", threads=1))
        assert report.rows_in == report.rows + report.rejected_rows, raw
        found["read"] += 1
    except BadInputError as error:
        found["refused"] += 1
print(json.dumps(found))
"""


def test_parquet_whose_metadata_lies_is_refused_or_accounted_for(tmp_path: Path) -> None:
    """Single bytes of page headers and footer are others: counts, sizes, offsets, encodings, statistics."""
    good = tmp_path / "good.parquet"
    duckdb.sql("SELECT range AS id, 'city ' || range % 50 AS city FROM range(3000)").write_parquet(str(good))
    whole = good.read_bytes()
    good.unlink()
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    chance = random.Random(11)
    lies = 100
    for number in range(lies):
        data = bytearray(whole)
        data[chance.choice((chance.randrange(footer, len(whole)), chance.randrange(4, 60)))] ^= 1 << chance.randrange(8)
        (tmp_path / f"{number:03}.parquet").write_bytes(data)
    (tmp_path / "nested.odcs.yaml").write_text(FLAT, encoding="utf-8")
    found = json.loads(within_memory(_MANY, tmp_path / "nested.odcs.yaml", tmp_path))
    assert sum(found.values()) == lies
    assert found["refused"] >= lies // 3


def test_more_rows_than_there_are_are_not_believed(tmp_path: Path) -> None:
    raw = tmp_path / "raw.parquet"
    duckdb.sql("SELECT range AS id, 'x' AS city FROM range(5000)").write_parquet(str(raw))
    whole = bytearray(raw.read_bytes())
    promised = b"\x90\x4e"  # 5,000 as Thrift's compact protocol writes it (zigzag, then varint), first of the file
    at = whole.index(promised, len(whole) - 8 - int.from_bytes(whole[-8:-4], "little"))
    whole[at : at + 2] = b"\x92\x4e"
    raw.write_bytes(whole)
    (tmp_path / "nested.odcs.yaml").write_text(FLAT, encoding="utf-8")
    with pytest.raises(BadInputError, match="footer promises 5,001 rows, and 5,000 can be read"):
        curate(load_contract(tmp_path / "nested.odcs.yaml"), raw, tmp_path / "out")
