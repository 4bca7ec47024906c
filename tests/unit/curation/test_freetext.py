"""What tells who somebody is, by its form; and what clinicians write that does not."""

from __future__ import annotations

import duckdb
import pytest

from datalab.curation.freetext import PATTERNS, kind_of

FOUND = {
    "e-mail": ["Mail an j.müller@klinik-köln.de", "o'brien!@x.org"],
    "web address": ["see https://a.b/c", "auf www.klinik", "Klinik-Nord.de hat mehr"],
    "date": [
        "am 3.4.24", "seit 03.04.2024", "03/25/2024", "25-03-2024", "2024/3/5", "2024-03-05T10:00", "3. März 2024",
        "le 1er août 2024", "12 March 2024", "March 3, 2024", "12-Mar-24", "Okt-2024",
    ],
    "bank account": ["DE89 3704 0044 0532 0130 00", "NO9386011117947", "FR14-2004-1010-0505-0001-3M02-606"],
    "insurance number": ["A123456780", "1 85 05 78 006 084 91", "65 170839 J 003", "AB 12 34 56 C"],
    "identity document": ["LZ6311T47", "RSSMRA85T10A562S", "12345678Z", "X1234567L", "131052-308T", "DE 136 695 976"],
    "number plate": ["HD-KA 1234", "M AB 123E"],
    "telephone": ["+49 (0)6221 / 56-1234", "06221 123456", "030/1234567", "01 23 45 67 89", "(415) 555-0132"],
    "network address": [
        "192.168.0.12", "2001:db8::ff00:42", "00:1B:44:11:3A:B7", "123e4567-e89b-12d3-a456-426614174000",
    ],
    "wallet": ["1BoatSLRHtKNngkdXEeobR76b53LETtpyT"],
    "address": ["Hauptstraße 12", "12 rue de la Paix 5", "10 Downing Street"],
    "title and name": ["Frau Meier kam", "Dr. Ärmel", "Mme Dupont"],
    "long number": ["Karte 4111 1111 1111 1111", "Steuer-ID 12345678901", "LANR 123456789", "PESEL 44051401359"],
}  # fmt: skip
PLAIN = [
    "no change", "RR 120/80, Puls 75/min", "HLA-B 27 positive", "SNOMED 22298006", "840539006", "1240581000000104",
    "8480-6", "I21.0", "Hb 13.5 g/dl, Leuko 11.2", "1 000 mg 3x1", "Ca 15-3", "T2 N1 M0", "G3 pT2a", "12:30:45",
    "3/4 teeth", "L01XC07", "seit 2019", "CYP2D6", "ratio 1:64", "45,3 %", "250 000 Thrombozyten", "e.g. aspirin",
    "B-cell 12", "0.123456789012", "1.2.840.10008.5.1.4.1.1.2", "10 to 14 days", "may be 5 of 10", "DE212",
    "Grade 2-3", "5-FU 500 mg", "Visite 12 marked", "urn:oid:2.16.840.1.113883.6.8",
]  # fmt: skip


def kinds(texts: list[str]) -> list[str | None]:
    rows = duckdb.execute(f"SELECT {kind_of('t')} FROM (SELECT unnest(?) AS t)", [texts]).fetchall()
    return [kind for (kind,) in rows]


@pytest.mark.parametrize("kind", FOUND)
def test_what_has_a_form_is_found(kind: str) -> None:
    assert dict(zip(FOUND[kind], kinds(FOUND[kind]), strict=True)) == dict.fromkeys(FOUND[kind], kind)


def test_what_clinicians_write_and_codes_are_not_taken_for_people() -> None:
    assert {text: kind for text, kind in zip(PLAIN, kinds(PLAIN), strict=True) if kind is not None} == {}


def test_every_kind_has_an_example() -> None:
    assert set(FOUND) == {*PATTERNS, "long number"}
