"""The same app on Flower's own engine and here; all strategies with ``python -m tests.parity``."""

from __future__ import annotations

from pathlib import Path

import pytest
from flwr.serverapp.strategy import FedXgbCyclic

from tests.parity.__main__ import SITES, compare, on_datalab, on_flower


def test_fedxgbcyclic_takes_no_fraction_between_none_and_all() -> None:
    with pytest.raises(ValueError, match=r"only be set to 1\.0 or 0\.0"):
        FedXgbCyclic(fraction_train=0.5)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_parameters_are_equal_bit_for_bit(tmp_path: Path) -> None:
    config = {"sites": " ".join(SITES), "only": "FedAvg FedXgbBagging", "rounds": 1}
    found = compare(on_datalab(tmp_path / "datalab", config), on_flower(tmp_path / "flower", config))
    assert {name: one["fractions"] for name, one in found.items()} == {
        name: {"0.5": True, "1.0": True} for name in ("FedAvg", "FedXgbBagging")
    }
