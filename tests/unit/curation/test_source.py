"""A raw file's text, whatever its encoding, packed or not; a packed file that is not whole is never taken for one."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalab.curation import source as module
from datalab.curation.source import Encoding, holds, open_source
from datalab.errors import BadInputError

TEXT = "Größe;Prénom;€\n" * 5000


def read(raw: Path, encoding: Encoding = "utf-8", *, size: int = 1000) -> tuple[bytes, str]:
    with open_source(raw, encoding) as source:
        text = b"".join(iter(lambda: source.read(size), b""))
        return text, source.sha256


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("utf-8", TEXT.encode()),
        ("utf-8", b"\xef\xbb\xbf" + TEXT.encode()),
        ("windows-1252", TEXT.encode("cp1252")),
        ("iso-8859-1", TEXT.replace("€", "ß").encode("latin-1")),
    ],
)
def test_every_encoding_is_read_as_utf_8(tmp_path: Path, encoding: Encoding, data: bytes, *, packed: bool) -> None:
    raw = tmp_path / "raw.csv"
    raw.write_bytes(gzip.compress(data) if packed else data)
    text, digest = read(raw, encoding)
    assert text.decode() == (TEXT.replace("€", "ß") if encoding == "iso-8859-1" else TEXT)
    assert digest == hashlib.sha256(raw.read_bytes()).hexdigest()


@given(data=st.binary(max_size=300), size=st.integers(1, 50), packed=st.booleans())
def test_no_byte_is_lost_or_made(*, data: bytes, size: int, packed: bool) -> None:
    data = b"x," + data  # not the beginning of some other kind of file
    with TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.csv"
        raw.write_bytes(gzip.compress(data) if packed else data)
        assert read(raw, size=size)[0] == data
        assert read(raw, "iso-8859-1", size=size)[0] == data.decode("latin-1").encode()


def test_a_byte_that_windows_1252_does_not_know_becomes_nul(tmp_path: Path) -> None:
    (tmp_path / "raw.csv").write_bytes(b"a\x81b\x80")
    assert read(tmp_path / "raw.csv", "windows-1252")[0] == "a\0b€".encode()


def test_utf_8_under_a_contract_that_says_otherwise_is_refused(tmp_path: Path) -> None:
    (tmp_path / "raw.csv").write_bytes(b"\xef\xbb\xbfa,b\n")
    with pytest.raises(BadInputError, match="is UTF-8, but the contract says windows-1252"):
        read(tmp_path / "raw.csv", "windows-1252")


@pytest.mark.parametrize("tenth", range(1, 10))
def test_a_gzip_file_cut_off_at_every_tenth_is_refused(tmp_path: Path, tenth: int) -> None:
    packed = gzip.compress(TEXT.encode())
    (tmp_path / "raw.csv.gz").write_bytes(packed[: len(packed) * tenth // 10])
    with pytest.raises(BadInputError, match="its end is missing"):
        read(tmp_path / "raw.csv.gz")


@pytest.mark.parametrize("missing", range(1, 9))
def test_a_gzip_file_without_its_whole_trailer_is_refused(tmp_path: Path, missing: int) -> None:
    (tmp_path / "raw.csv.gz").write_bytes(gzip.compress(TEXT.encode())[:-missing])
    with pytest.raises(BadInputError, match="its end is missing"):
        read(tmp_path / "raw.csv.gz")


def test_a_gzip_file_whose_checksum_does_not_match_is_refused(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(TEXT.encode()))
    packed[-8] ^= 1
    (tmp_path / "raw.csv.gz").write_bytes(packed)
    with pytest.raises(BadInputError, match="its own checksum"):
        read(tmp_path / "raw.csv.gz")


def test_a_file_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FREE", 1024 * 1024)
    pack = zlib.compressobj(9, wbits=31)
    (tmp_path / "raw.csv.gz").write_bytes(pack.compress(bytes(20 * 1024 * 1024)) + pack.flush())
    with pytest.raises(BadInputError, match="unpacks to more than 250 times its size"):
        read(tmp_path / "raw.csv.gz", size=65536)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_a_text_is_found_in_whatever_a_holder_sends(encoding: str, *, packed: bool) -> None:
    data = (TEXT + "Jürgen-4711\n" + TEXT).encode(encoding)
    data = gzip.compress(TEXT.encode()) + gzip.compress(data) if packed else data
    for size in (1, 1000, len(data)):
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        assert holds(pieces, "Jürgen-4711")
        assert not holds(pieces, "Jürgen-4712")
    for cut in range(1, 20):
        assert holds([gzip.compress(TEXT.encode())[:-cut]], "anything"), "what is cut off may hold anything"


def test_a_zip_inside_gzip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "raw.gz").write_bytes(gzip.compress(b"PK\x03\x04..."))
    with pytest.raises(BadInputError, match="The file is zip"):
        read(tmp_path / "raw.gz")
