"""What the shipped contracts make of their samples: ``python -m tests.golden.curated`` writes it anew, to be looked at.

Beside each sample ``sources/NAME`` lie ``NAME.rows.csv``, the harmonised table, and ``NAME.rejects.csv``. The samples
are made up; of the one that is real, the OPT trial, only digests are kept.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb

from datalab.curation.contract import load_contract
from datalab.curation.engine import DATA, REJECTS, curate
from datalab.curation.report import CurationReport
from pipelines.sources import BUILT_IN, SUFFIX

SOURCES = Path(__file__).parent / "sources"
ROWS, REJECTED = ".rows.csv", ".rejects.csv"


@dataclass(frozen=True)
class Curated:
    """What came of a sample."""

    rows: str
    rejects: str
    report: CurationReport


def samples() -> list[tuple[str, Path]]:
    """Return each sample with the contract that it is for; a bundle is one of each of FHIR's."""
    found = []
    for path in sorted(SOURCES.iterdir()):
        if path.name.endswith((ROWS, REJECTED)):
            continue
        name = path.name.partition(".")[0]
        kinds = sorted(BUILT_IN.glob(f"fhir-*{SUFFIX}")) if name == "fhir-bundle" else [BUILT_IN / f"{name}{SUFFIX}"]
        found += [(kind.name.removesuffix(SUFFIX), path) for kind in kinds]
    return found


def curated(contract: str, sample: Path) -> Curated:
    """Curate a sample by a shipped contract; fails where the report does not pass."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        report = curate(load_contract(BUILT_IN / f"{contract}{SUFFIX}"), sample, out)
        assert report.passed, [check for check in report.checks if not check.passed]
        with duckdb.connect() as database:
            database.read_parquet(str(out / DATA)).write_csv(str(out / "rows.csv"), header=True)
        return Curated((out / "rows.csv").read_text(), (out / REJECTS).read_text(), report)


def digest(text: str) -> str:
    """Return the digest of a golden text that is too large, or not ours, to keep."""
    return hashlib.sha256(text.encode()).hexdigest()


def main() -> None:
    """Write the golden results."""
    for contract, sample in samples():
        found = curated(contract, sample)
        name = f"{contract}.{sample.name}" if sample.stem == "fhir-bundle" else sample.name
        (SOURCES / f"{name}{ROWS}").write_text(found.rows)
        (SOURCES / f"{name}{REJECTED}").write_text(found.rejects)


if __name__ == "__main__":
    main()
