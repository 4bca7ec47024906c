"""Our patterns beside presidio's own recognisers (`make peers`): whatever theirs find in a text, ours have to find.

The texts are sentences with one identifier each, drawn at random in the form of its kind. Where presidio works out
check digits it finds some of them only, and those are what counts. Its recognisers run as they are, without a language
model; what they score below 0.15 presidio takes only where words around say so, and is left out. Number plates are
drawn with three digits or four, and web addresses without a scheme with the endings that ours know.
"""

from __future__ import annotations

import json
import random
import string
import subprocess
from collections.abc import Callable

import pytest

from tests.support.federation import ROOT
from tests.unit.curation.test_freetext import PLAIN, kinds

PYTHON = ROOT / ".peers" / "bin" / "python"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PYTHON.exists(), reason="needs `make peers`")]

SENTENCES = ("Bitte melden: {} (neu).", "Le patient a indiqué {}, à vérifier.", "Note says {}", "{}, siehe Akte")
TEXTS = 600
FEWEST = 25
"""Texts of a kind in which presidio must find something, or the comparison would say nothing."""
chance = random.Random(7)


def drawn(form: str) -> str:
    """Return a text of a form: ``9`` is a digit, ``A`` a capital, ``a`` a small letter, ``x`` hexadecimal."""
    signs = {"9": string.digits, "A": string.ascii_uppercase, "a": string.ascii_lowercase, "x": "0123456789abcdef"}
    return "".join(chance.choice(signs.get(sign, sign)) for sign in form)


def one_of(*forms: str) -> Callable[[], str]:
    return lambda: drawn(chance.choice(forms))


def date() -> str:
    day, month, year = chance.randint(1, 28), chance.randint(1, 12), chance.randint(1930, 2030)
    name = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")[month - 1]
    return chance.choice((
        f"{day}.{month}.{year}", f"{day:02}.{month:02}.{year % 100:02}", f"{month}/{day}/{year}",
        f"{day:02}/{month:02}/{year % 100:02}", f"{year}/{month}/{day}", f"{day:02}-{month:02}-{year}",
        f"{month:02}-{day:02}-{year}", f"{year}-{month:02}-{day:02}", f"{year}-{month:02}-{day:02}T10:15:00Z",
        f"{day:02}-{name}-{year}", f"{name}-{year}",
    ))  # fmt: skip


def iban() -> str:
    """With its check digits (ISO 13616), which one in 97 would have by chance."""
    country, length = chance.choice((("DE", 18), ("FR", 23), ("NO", 11), ("AT", 16), ("MT", 27), ("CH", 17)))
    account = drawn("9" * length)
    number = "".join(str(int(sign, 36)) for sign in f"{account}{country}00")
    whole = f"{country}{98 - int(number) % 97:02}{account}"
    groups = [whole[at : at + 4] for at in range(0, len(whole), 4)]
    return chance.choice(("", " ", "-")).join(groups)


def wallet() -> str:
    """With its checksum: Base58Check of a drawn key."""
    from hashlib import sha256

    signs = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    body = b"\0" + chance.randbytes(20)
    number = int.from_bytes(body + sha256(sha256(body).digest()).digest()[:4])
    made = ""
    while number:
        number, rest = divmod(number, 58)
        made = signs[rest] + made
    return "1" + made


def codice_fiscale() -> str:
    return drawn("AAAAAA99") + chance.choice("ABCDEHLMPRST") + f"{chance.randint(1, 28):02}" + drawn("A999A")


def with_date(form: str) -> Callable[[], str]:
    """Draw a number in which ``YYMMDD`` or ``DDMMYY`` stands for a day."""

    def made() -> str:
        year, month, day = f"{chance.randint(30, 99)}", f"{chance.randint(1, 12):02}", f"{chance.randint(1, 28):02}"
        return drawn(form.replace("YYMMDD", year + month + day).replace("DDMMYY", day + month + year))

    return made


def clean_finnish() -> str:
    day = f"{chance.randint(1, 28):02}{chance.randint(1, 12):02}{chance.randint(30, 99)}"
    number = drawn("999")
    return f"{day}-{number}{'0123456789ABCDEFHJKLMNPRSTUVWXY'[int(day + number) % 31]}"


KINDS: dict[str, Callable[[], str]] = {
    "e-mail": one_of("aaaa.aaa9@aaaaaa.de", "a+aaa@aaa-aaa.aaa.org", "aa_aa'a@aaaaa.fr", "{aa!@aaaa.com"),
    "telephone": one_of(
        "+49 6221 569999",
        "+49 (0)30 1239999",
        "0049 89 4559999",
        "06221 569999",
        "030/1239999",
        "0151 23499999",
        "+33 1 42 99 99 99",
        "01 42 99 99 99",
        "06.12.99.99.99",
        "+44 20 7946 9999",
        "020 7946 9999",
        "07911 129999",
        "(415) 559-9999",
        "+1 415-559-9999",
        "415.559.9999",
        "+43 1 5899999",
        "01 5899999",
        "+41 44 668 99 99",
        "044 668 99 99",
        "+32 470 12 99 99",
        "0470 12 99 99",
        "+31 20 624 9999",
        "020 624 9999",
    ),
    "IBAN": iban,
    "payment card": one_of(
        "4999 9999 9999 9999",
        "4999999999999999",
        "51999-9999",
        "5199 9999 9999 9999",
        "3799 999999 99999",
        "6011-9999-9999-9999",
    ),
    "date": date,
    "IP": one_of("192.168.9.99", "10.99.9.199", "2001:db8:xxxx:xxxx:xxxx:xxxx:xxxx:xxxx", "fe80::xxxx:xxxx", "::xxxx"),
    "MAC": one_of("00:1b:xx:xx:xx:xx", "00-1b-xx-xx-xx-xx", "001b.xxxx.xxxx"),
    "UUID": one_of("xxxxxxxx-xxxx-4xxx-9xxx-xxxxxxxxxxxx"),
    "web address": one_of("https://aaaa.aaa.it/a9", "http://aaaaa.at", "www.aaaaa.de", "aaaaaa.org/aa", "aaaa-aa.com"),
    "wallet": wallet,
    "KVNR": one_of("A999999999"),
    "Rentenversicherung": with_date("65DDMMYYA999"),
    "Steuer-ID": one_of("19999999999", "89999999999", "45999999999"),
    "Steuernummer": one_of("0999999999999", "1199999999999", "181/815/99999", "12/345/99999", "133/8150/8159"),
    "Ausweis": one_of("L99999999", "CF99X99K9", "T99999999", "LZ6311T99", "C01X00T99"),
    "Führerschein": one_of("AB99999999A", "HD999999999"),
    "USt-IdNr.": one_of("DE999999999", "DE 999 999 999", "DE-999-999-999"),
    "LANR": one_of("999999999"),
    "Kennzeichen": one_of("HD-AA 9999", "M-AA 199", "HD AA 199E", "B-A-1999H"),
    "codice fiscale": codice_fiscale,
    "NIF": one_of("99999999A", "X9999999A", "99999999-A"),
    "PESEL": with_date("YYMMDD99999"),
    "personnummer": with_date("YYMMDD-9999"),
    "henkilötunnus": clean_finnish,
    "NHS": one_of("999 999 9999", "999-999-9999", "9999999999"),
    "NINO": one_of("AB999999C", "AB 99 99 99 C", "PW999999a"),
}


@pytest.fixture(scope="module")
def found() -> tuple[dict[str, list[str]], dict[str, list[list[str]]]]:
    """The texts of each kind, and what presidio finds in each."""
    texts = {
        kind: [chance.choice(SENTENCES).format(make()) for _ in range(TEXTS)]
        for kind, make in KINDS.items()
    } | {"plain": PLAIN}  # fmt: skip
    done = subprocess.run(
        [PYTHON, "-W", "ignore", str(ROOT / "tests" / "support" / "recognisers.py")],
        input=json.dumps(texts), check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    answer: dict[str, list[list[str]]] = json.loads(done.stdout)
    return texts, answer


@pytest.mark.parametrize("kind", KINDS)
def test_what_presidio_finds_is_found(
    found: tuple[dict[str, list[str]], dict[str, list[list[str]]]], kind: str
) -> None:
    texts, theirs = found[0][kind], found[1][kind]
    ours = kinds(texts)
    print(f"{kind}: presidio {sum(map(bool, theirs))}, ours {len(ours) - ours.count(None)} of {TEXTS}")
    assert sum(map(bool, theirs)) >= FEWEST
    missed = [text for text, hits, our in zip(texts, theirs, ours, strict=True) if hits and our is None]
    assert missed == []


def test_less_of_what_clinicians_write_is_taken_for_people(
    found: tuple[dict[str, list[str]], dict[str, list[list[str]]]],
) -> None:
    theirs = {text: hits for text, hits in zip(PLAIN, found[1]["plain"], strict=True) if hits}
    print(f"presidio takes {len(theirs)} of {len(PLAIN)} for people: {theirs}")
    assert kinds(PLAIN) == [None] * len(PLAIN)
