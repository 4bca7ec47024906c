"""Files made to exhaust the reader are refused with a sentence, within bounded memory."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from datalab.curation.contract import load_contract
from datalab.curation.engine import curate
from datalab.errors import BadInputError
from tests.unit.curation.examples import HEADER, write_contract

_GIGABYTE = 1 << 30
_CHILD = """
import sys
from pathlib import Path
from datalab.curation.contract import load_contract
from datalab.curation.engine import curate
from datalab.errors import BadInputError
try:
    curate(load_contract(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]))
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


def test_a_line_of_a_gigabyte_takes_no_memory_to_speak_of(tmp_path: Path) -> None:
    _long_line(tmp_path / "ward.csv")
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, write_contract(tmp_path), tmp_path / "ward.csv", tmp_path / "out"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (512 << 20, 512 << 20)),
    )
    assert "longer than 256 KiB" in done.stdout
