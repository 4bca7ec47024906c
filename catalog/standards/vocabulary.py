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
HEALTH_CATEGORY = "https://hdeu-dcat.data.health.europa.eu/resource/authority/healthcategories/"
HEALTH_CATEGORIES = {
    "EHRS": "Electronic health records",
    "DIOH": "Factors with an impact on health",
    "NRPE": "Needs, resources, provision of and access to care, expenditure and financing, aggregated",
    "RPDG": "Pathogens that affect human health",
    "HRAD": "Administrative data of care, with dispensations, claims and reimbursements",
    "HGPD": "Human genetic, epigenomic and genomic data",
    "HPML": "Other human molecular data",
    "PGEH": "Personal data made by medical devices",
    "WELA": "Wellness applications",
    "IDHP": "Health professionals: status, specialisation and institution",
    "PHDR": "Population-based registries of public health",
    "MRMR": "Medical registries and mortality registries",
    "EHCT": "Clinical trials, studies, investigations and performance studies",
    "EMRD": "Other data from medical devices",
    "RMMD": "Registries of medicinal products and medical devices",
    "RQSH": "Research cohorts, questionnaires and surveys, after their first publication",
    "EINS": "Biobanks and their databases",
}
"""Categories of EHDS Art. 51(1), (a) to (q) in this order, by their codes in the Commission's vocabulary of them."""
COUNTRIES = {
    "AT": "AUT", "BE": "BEL", "BG": "BGR", "CH": "CHE", "CY": "CYP", "CZ": "CZE", "DE": "DEU", "DK": "DNK",
    "EE": "EST", "ES": "ESP", "FI": "FIN", "FR": "FRA", "GB": "GBR", "GR": "GRC", "HR": "HRV", "HU": "HUN",
    "IE": "IRL", "IS": "ISL", "IT": "ITA", "LI": "LIE", "LT": "LTU", "LU": "LUX", "LV": "LVA", "MT": "MLT",
    "NL": "NLD", "NO": "NOR", "PL": "POL", "PT": "PRT", "RO": "ROU", "SE": "SWE", "SI": "SVN", "SK": "SVK",
    "US": "USA",
}  # fmt: skip
"""ISO 3166-1 alpha-2 to the alpha-3 codes that the EU's vocabulary of countries goes by."""


def purpose(letter: str) -> str:
    """Return the address of one purpose of EHDS Art. 53(1), in the form that the Union's law has for a point (ELI).

    HealthDCAT-AP has no vocabulary of purposes: any address or description is taken.
    """
    return f"http://data.europa.eu/eli/reg/2025/327/art_53/par_1/pnt_{letter}/oj"


def health_category(code: str) -> str:
    """Return the address of one of ``HEALTH_CATEGORIES``, as HealthDCAT-AP (release 8) and its examples have it."""
    if code not in HEALTH_CATEGORIES:
        raise ValueError(f"no category of health data has the code {code}")
    return HEALTH_CATEGORY + code


def licence_address(licence: str | None) -> str | None:
    """Return the SPDX address of a licence, or None where it is none, an expression of several, or one of its own."""
    if licence is None or " " in licence or licence.startswith("LicenseRef"):
        return None
    return SPDX + licence
