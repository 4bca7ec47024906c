"""The pooled model: what one would get if all data lay in one place. Only a demo, which made the folders, may."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from demo.studies import APP


def pooled_auc(tables: Mapping[str, Path], config: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Train on all sites' training rows together, and return the AUC on each site's held-out rows.

    The app's own functions are used, with the same split, steps and penalty as the federated run.

    Args:
        tables: each site's curated Parquet file.
        config: the run's configuration.

    Returns:
        For each site ``value``, ``low`` and ``high``.
    """
    if str(APP) not in sys.path:
        sys.path.insert(0, str(APP))
    from logistic.data import Task, read_site
    from logistic.model import descend, predict
    from logistic.shared.evaluation import auc_interval
    from logistic.shared.scaling import Moments, Scaling

    task = Task.of(config)
    seed = int(config["split-seed"])
    sites = {
        name: read_site(str(path), task, test_share=float(config["test-share"]), seed=seed)
        for name, path in tables.items()
    }
    x = np.concatenate([site.x_train for site in sites.values()])
    y = np.concatenate([site.y_train for site in sites.values()])
    scaling = Scaling.fit(Moments.of(x))
    weights, bias = descend(
        np.zeros(x.shape[1]),
        np.zeros(1),
        scaling.apply(x),
        y,
        steps=int(config["num-server-rounds"]) * int(config["local-steps"]),
        rate=float(config["learning-rate"]),
        l2=float(config["l2"]),
    )
    return {
        name: auc_interval(
            predict(weights, bias, scaling.apply(site.x_test)),
            site.y_test,
            resamples=int(config["bootstrap"]),
            seed=seed,
        )
        for name, site in sites.items()
    }
