"""The asset checks: the quality record of a version. Those that protect people or the record itself block."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from datalab.curation.report import Check

K_ANONYMITY = dg.AssetCheckSpec(
    "k_anonymity",
    asset="deidentified",
    blocking=True,
    description="Every combination of quasi-identifiers that arrived has at least k rows, if the contract asks for it.",
)
PARQUET_READABLE = dg.AssetCheckSpec(
    "parquet_readable",
    asset="harmonised",
    blocking=True,
    description="The Parquet file can be read back, and has as many rows as were written.",
)
ROW_ACCOUNTING = dg.AssetCheckSpec(
    "row_accounting",
    asset="profiled",
    blocking=True,
    description="Each record of the raw file is a row, rejected, or excluded for a stated reason.",
)
QUALITY_RULES = dg.AssetCheckSpec(
    "quality_rules",
    asset="profiled",
    description="The harmonised table keeps the contract's rules; one that is broken is published with the version.",
)


def as_asset_check(spec: dg.AssetCheckSpec, checks: Sequence[Check]) -> dg.AssetCheckResult:
    """Return one asset check for the engine's checks of one kind; it passes if all of them do."""
    return dg.AssetCheckResult(
        check_name=spec.name,
        passed=all(check.passed for check in checks),
        severity=dg.AssetCheckSeverity.ERROR if spec.blocking else dg.AssetCheckSeverity.WARN,
        metadata={check.name: f"{'passed' if check.passed else 'failed'}: {check.detail}" for check in checks},
    )
