"""What all tests share: where the real data lies, and CI's rule that nothing is skipped that can run."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("datalab", deadline=None)  # a test must not depend on how busy a machine is
settings.load_profile("datalab")

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def heart_disease() -> Path:
    """The UCI Heart Disease files, where the project lies beside ``shared/``."""
    folder = SHARED / "data" / "heart-disease"
    if not folder.is_dir():
        pytest.skip(f"the UCI Heart Disease files are not in {folder}")
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where DATALAB_REFUSE_SKIPS is set (CI), a skipped test has failed: what it needs must be there.

    Only the folder ``shared/`` may be missing, since the project carries no copy of it.
    """
    del item, call
    report = yield
    lacks_shared = not SHARED.is_dir() and "shared" in str(report.longrepr)
    if report.skipped and os.environ.get("DATALAB_REFUSE_SKIPS") and not lacks_shared:
        report.outcome = "failed"
        report.longrepr = f"CI refuses skips: {report.longrepr}"
    return report
