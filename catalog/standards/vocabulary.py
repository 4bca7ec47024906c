"""Words of the European vocabularies that the exports use."""

from __future__ import annotations

AUTHORITY = "http://publications.europa.eu/resource/authority"
"""Stem of the EU's vocabularies."""

ACCESS = f"{AUTHORITY}/access-right/"
"""Stem of PUBLIC, RESTRICTED and NON_PUBLIC."""
COUNTRY = f"{AUTHORITY}/country/"
DATASET_TYPE = f"{AUTHORITY}/dataset-type/"
FILE_TYPE = f"{AUTHORITY}/file-type/"
LANGUAGE = f"{AUTHORITY}/language/"
THEME = f"{AUTHORITY}/data-theme/"
MEDIA_TYPE = "https://www.iana.org/assignments/media-types/"
SPDX = "https://spdx.org/licenses/"
EHDS = "http://data.europa.eu/eli/reg/2025/327/oj"
GDPR = "http://data.europa.eu/eli/reg/2016/679/oj"

LANGUAGES = {"en": "ENG", "de": "DEU", "fr": "FRA"}
THEMES = {
    "AGRI": "Agriculture, fisheries, forestry and food",
    "ECON": "Economy and finance",
    "EDUC": "Education, culture and sport",
    "ENER": "Energy",
    "ENVI": "Environment",
    "GOVE": "Government and public sector",
    "HEAL": "Health",
    "INTR": "International issues",
    "JUST": "Justice, legal system and public safety",
    "OP_DATPRO": "Provisional data",
    "REGI": "Regions and cities",
    "SOCI": "Population and society",
    "TECH": "Science and technology",
    "TRAN": "Transport",
}
PURPOSES = {
    "a": "Public or occupational health",
    "b": "Policymaking and regulatory activities",
    "c": "Official statistics",
    "d": "Education or teaching in health or care",
    "e": "Scientific research in health or care",
    "f": "Improving the delivery of care",
}
"""Purposes of EHDS Art. 53(1), in short."""
COUNTRIES = {
    "AT": "AUT", "BE": "BEL", "BG": "BGR", "CH": "CHE", "CY": "CYP", "CZ": "CZE", "DE": "DEU", "DK": "DNK",
    "EE": "EST", "ES": "ESP", "FI": "FIN", "FR": "FRA", "GB": "GBR", "GR": "GRC", "HR": "HRV", "HU": "HUN",
    "IE": "IRL", "IS": "ISL", "IT": "ITA", "LI": "LIE", "LT": "LTU", "LU": "LUX", "LV": "LVA", "MT": "MLT",
    "NL": "NLD", "NO": "NOR", "PL": "POL", "PT": "PRT", "RO": "ROU", "SE": "SWE", "SI": "SVN", "SK": "SVK",
    "US": "USA",
}  # fmt: skip
"""ISO 3166-1 alpha-2 to the alpha-3 codes that the EU's vocabulary of countries goes by."""


def purpose(letter: str) -> str:
    """Return the address (ELI) of one purpose of EHDS Art. 53(1)."""
    return f"http://data.europa.eu/eli/reg/2025/327/art_53/par_1/pnt_{letter}/oj"


def health_category(letter: str) -> str:
    """Return the address (ELI) of one category of health data of EHDS Art. 51(1)."""
    return f"http://data.europa.eu/eli/reg/2025/327/art_51/par_1/pnt_{letter}/oj"


def licence_address(licence: str | None) -> str | None:
    """Return the SPDX address of a licence, or None where it is none, an expression of several, or one of its own."""
    if licence is None or " " in licence or licence.startswith("LicenseRef"):
        return None
    return SPDX + licence
