"""What a curation run has to say when it is done; light, so that whoever starts one may import it."""

from __future__ import annotations

from pydantic import BaseModel


class Checks(BaseModel):
    """How many checks of the version's quality record passed and failed."""

    passed: int
    failed: int


class Outcome(BaseModel):
    """What a run made.

    Attributes:
        run_id: the Dagster run.
        asset_checks: Dagster's own record, check by check; empty where ``seconds`` is.
        rejects: the file that lists rejected rows by line, column and rule.
        seconds: time taken by each asset; empty where an earlier run had published this file already.
    """

    run_id: str
    dataset: str
    version: int
    rows: int
    rejected_rows: int
    checks: Checks
    asset_checks: dict[str, bool]
    parquet_sha256: str
    rejects: str
    seconds: dict[str, float]
