"""The languages of the pages: words from ``languages/<code>.po``, dates and numbers as people there write them.

The catalogs of words are read when the server starts: nothing is compiled that could be out of date.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from gettext import NullTranslations
from io import BytesIO
from pathlib import Path

from babel import Locale
from babel.dates import format_date, format_time, format_timedelta
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent
from babel.support import Translations

FOLDER = Path(__file__).parents[1] / "languages"
COOKIE = "datalab_language"
NAMES = {"en": "English", "de": "Deutsch", "fr": "Français"}
"""The languages that there are, by their own names; the first one is what the templates are written in."""
_LOCALES = {"en": "en_IE", "de": "de_DE", "fr": "fr_FR"}


def mark(text: str) -> str:
    """Mark a text that is translated where it is shown."""
    return text


@dataclass(frozen=True)
class Language:
    """One language: translations, and how it writes what is not words."""

    code: str
    locale: Locale
    translations: NullTranslations

    def words(self, text: str) -> str:
        """Translate a text that was marked; any other one stays as it is."""
        return self.translations.gettext(text) if text else text

    def count(self, number: int | None) -> str:
        """Return a count, or the word for one that may not be told."""
        return self.words(mark("withheld")) if number is None else format_decimal(number, locale=self.locale)

    def number(self, value: float | None) -> str:
        """Return a measured value, to at most four decimals, four digits together as in a year; nothing for None."""
        if value is None:
            return ""
        return format_decimal(value, format="0.####" if abs(value) < 10_000 else "#,##0.####", locale=self.locale)

    def duration(self, seconds: float) -> str:
        """Return a time in words, in the unit that fits: 5 seconds, 2 hours."""
        return str(format_timedelta(timedelta(seconds=round(seconds)), threshold=1.5, locale=self.locale))

    def share(self, part: int | None, whole: int | None) -> str:
        """Return a part of a whole in per cent, or the word for one that may not be told."""
        if part is None or not whole:
            return self.words(mark("withheld"))
        return format_percent(part / whole, format="#,##0.0 %", locale=self.locale)

    def day(self, moment: date) -> str:
        """Return a date, of a point in time that in UTC."""
        moment = moment.astimezone(UTC) if isinstance(moment, datetime) else moment
        return format_date(moment, "medium", locale=self.locale)

    def time(self, moment: datetime) -> str:
        """Return a point in time in UTC, to the minute."""
        moment = moment.astimezone(UTC)
        return f"{self.day(moment)}, {format_time(moment, 'short', locale=self.locale)} UTC"

    def size(self, count: int) -> str:
        """Return a number of bytes, in the unit that fits."""
        value, unit = float(count), "B"
        for larger in ("kB", "MB", "GB", "TB"):
            if value < 1000:
                break
            value, unit = value / 1000, larger
        return f"{format_decimal(value, format='#,##0.#', locale=self.locale)}\N{NO-BREAK SPACE}{unit}"

    def country(self, code: str) -> str:
        """Return a country's name, or its code where there is no name for it."""
        return str(self.locale.territories.get(code, code))

    def language(self, code: str) -> str:
        """Return a language's name."""
        return str(self.locale.languages.get(code, code))

    @property
    def countries(self) -> Mapping[str, str]:
        """Names of the world's countries by ISO 3166-1 code, in the order of the names."""
        names = {code: str(name) for code, name in self.locale.territories.items() if re.fullmatch("[A-Z]{2}", code)}
        return dict(sorted(names.items(), key=_by_name))


def _by_name(item: tuple[str, str]) -> str:
    return item[1].casefold()


@cache
def language(code: str) -> Language:
    """Return one of the languages that there are."""
    translations: NullTranslations = NullTranslations()
    path = FOLDER / f"{code}.po"
    if path.exists():
        compiled = BytesIO()
        with path.open("rb") as file:
            write_mo(compiled, read_po(file, locale=code))
        compiled.seek(0)
        translations = Translations(compiled)
    return Language(code, Locale.parse(_LOCALES[code]), translations)


def negotiate(cookie: str | None, accepted: str) -> Language:
    """Return the language that a visitor chose, or else the best of those that the browser accepts.

    Args:
        cookie: value of the cookie that the language switch sets.
        accepted: the ``Accept-Language`` header (RFC 9110, 12.5.4).
    """
    if cookie in NAMES:
        return language(cookie)
    preferred: list[tuple[float, str]] = []
    for part in accepted[:500].split(","):
        found = re.fullmatch(r"\s*([a-z]{2})(?:-[a-z0-9]+)*\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*", part.lower())
        if found and found[1] in NAMES:
            preferred.append((float(found[2] or 1), found[1]))
    best = max(preferred, key=_weight, default=(1.0, "en"))
    return language(best[1])


def _weight(preference: tuple[float, str]) -> float:
    return preference[0]
