"""Updates under differential privacy: how much noise, that it is secret, and that no round is for nothing."""

from __future__ import annotations

import random
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from logistic.shared.privacy import noise_multiplier

from tests.support.local_grid import LocalGrid, run_app

WANTED = {"features": "a,b", "bootstrap": 0, "num_server_rounds": 2}


def sites() -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.normal(size=(300, 2)), columns=["a", "b"])
    table["event"] = (rng.uniform(size=300) < 1 / (1 + np.exp(-3 * table["a"]))).astype(int)
    return {"amsterdam": table[:150], "berlin": table[150:]}


def updates(grid: LocalGrid) -> list[np.ndarray]:
    """What training has sent from the sites, as vectors."""
    found = []
    for kind, content in grid.seen:
        if kind == "train":
            assert set(content.metric_records["metrics"]) == {"num-examples"}
            found.append(np.concatenate([one.numpy() for one in content.array_records["arrays"].values()]))
    return found


@pytest.mark.parametrize(("epsilon", "delta", "rounds"), [(1.0, 1e-5, 1), (0.1, 1e-6, 20), (8.0, 1e-5, 100)])
def test_the_noise_is_as_little_as_keeps_the_promise(epsilon: float, delta: float, rounds: int) -> None:
    shift = 2 * np.sqrt(rounds) / noise_multiplier(epsilon, delta, rounds)
    cdf = NormalDist().cdf
    exact = cdf(shift / 2 - epsilon / shift) - np.exp(epsilon) * cdf(-shift / 2 - epsilon / shift)
    assert exact == pytest.approx(delta, rel=1e-6)
    if (epsilon, rounds) == (1.0, 1):  # Balle and Wang's own figure for a sensitivity of 1
        assert noise_multiplier(epsilon, delta, rounds) / 2 == pytest.approx(3.73, abs=0.01)


def test_updates_are_clipped_and_noise_differs_although_the_seed_does_not(tmp_path: Path) -> None:
    sent = []
    for _ in range(2):
        random.seed(3)
        np.random.seed(3)  # noqa: NPY002 - what a mod of Flower's would draw from
        _, grid = run_app("logistic", sites(), tmp_path, privacy_epsilon=5.0, clipping_norm=0.5, **WANTED)
        sent.append(updates(grid)[0])
    assert np.abs(sent[0] - sent[1]).min() > 0
    _, grid = run_app("logistic", sites(), tmp_path, privacy_epsilon=1000.0, clipping_norm=0.05, **WANTED)
    assert all(np.linalg.norm(one) < 0.05 + 0.2 for one in updates(grid)[:2])  # it starts from 0


def test_the_noise_has_the_size_that_is_said(tmp_path: Path) -> None:
    sigma = 0.001 * noise_multiplier(2.0, 1e-5, 60)
    _, grid = run_app(
        "logistic", sites(), tmp_path, privacy_epsilon=2.0, clipping_norm=0.001, **{**WANTED, "num_server_rounds": 60}
    )
    sent = updates(grid)
    models = [np.mean(sent[i : i + 2], axis=0) for i in range(0, len(sent), 2)]  # the sites are of one size
    drawn = np.concatenate([sent[2 * i] - models[i - 1] for i in range(1, 60)])
    assert drawn.std() == pytest.approx(sigma, rel=0.2)


def test_a_round_more_than_declared_is_refused(tmp_path: Path) -> None:
    _, grid = run_app("logistic", sites(), tmp_path, privacy_epsilon=5.0, **WANTED)
    again = next(content for kind, content in grid.seen if kind == "train")
    assert again
    with pytest.raises(Exception, match="this would be one more"):
        grid.ask_again("train")


def test_a_delta_that_makes_epsilon_worth_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="delta above 1 in the rows"):
        run_app("logistic", sites(), tmp_path, privacy_epsilon=1e-9, privacy_delta=0.1, **WANTED)


def test_without_it_nothing_changes(tmp_path: Path) -> None:
    models = []
    for settings in ({}, {"clipping_norm": 0.001}):
        random.seed(3)
        _, grid = run_app("logistic", sites(), tmp_path, **WANTED, **settings)
        models.append([one for kind, one in grid.seen if kind == "train"])
    for first, second in zip(*models, strict=True):
        assert first.array_records == second.array_records
