"""Of which code system the values of a version's columns are, by the contract that the lab has curated it by."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from datalab.curation.contract import load_contract
from datalab.curation.naming import SUFFIX
from datalab.curation.report import CurationReport
from datalab.errors import DatalabError
from datalab.home import Home


def code_systems(home: Home, report: CurationReport) -> Mapping[str, str]:
    """Return columns with their code system, such as ``http://snomed.info/sct``.

    Nothing for a version that was curated elsewhere: the contract of a node is not here, and reports do not say it.
    """
    return _read(home.folder("contracts", "used") / f"{report.contract_digest}{SUFFIX}")


@lru_cache(maxsize=256)
def _read(path: Path) -> Mapping[str, str]:
    try:
        contract = load_contract(path)
    except (DatalabError, OSError):
        return {}
    return {one.name: one.code_system for one in contract.harmonised.columns if one.code_system is not None}
