"""FLamby's Fed-Heart-Disease (du Terrail et al., NeurIPS 2022), reproduced through the product.

``python -m tests.perf.flamby_heart --json``
``python -m tests.perf.flamby_heart --strategy fedavg --seed 42 --data DIR``

Real processes: gateway, four node agents that curate their hospital's file, sandboxed workers, a runner for each run;
mutual TLS. DIR holds the four files as UCI publishes them. Accuracy is that on all held-out rows together, scaled as
the training rows of all hospitals together are, as FLamby's pooled test set is; ``centres`` is each hospital's own,
scaled as its own training rows are. Pooled and local models, which only a benchmark may train, are for comparison.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datalab.supervisor import Supervisor
from federation.run import ConfigValue, flower_id
from tests.support.federation import ROOT, Federation
from tests.support.heart import DATA, FEATURES, Floats, Hospital, read_hospitals, write_contract

APP = ROOT / "federation" / "apps" / "logistic"
SEEDS = (42, 43, 44, 45, 46)
ROUNDS, STEPS, BATCH = 15, 100, 4
COMMON: dict[str, ConfigValue] = {
    "features": ",".join(FEATURES),
    "num-server-rounds": ROUNDS,
    "local-steps": STEPS,
    "batch-size": BATCH,
    "l2": 0.0,
    "scaling": "site",
    "held-out-column": "held_out",
    "initial-spread": len(FEATURES) ** -0.5,
    "bootstrap": 0,
}
STRATEGIES: dict[str, dict[str, ConfigValue]] = {
    "fedavg": {"learning-rate": 0.001},
    "fedprox": {"learning-rate": 0.001, "proximal-mu": 0.01},
    "fedadam": {"learning-rate": 0.01, "server-learning-rate": 0.01},
    "fedyogi": {"learning-rate": 0.003162, "server-learning-rate": 0.01},
    "fedadagrad": {"learning-rate": 0.003162, "server-learning-rate": 0.316228},
}
PUBLISHED = {
    "fedavg": (0.7480, 0.0240),
    "fedprox": (0.7480, 0.0240),
    "fedadam": (0.7787, 0.0130),
    "fedyogi": (0.7787, 0.0137),
    "fedadagrad": (0.7787, 0.0137),
    "pooled": (0.7953, 0.0025),
}
PUBLISHED_LOCAL = {"cleveland": 0.784, "budapest": 0.727, "switzerland": 0.483, "long-beach": 0.611}
REFERENCE_EPOCHS, REFERENCE_RATE = 50, 0.001
"""FLamby trains its pooled and local models with Adam."""


def start(folder: Path, supervisor: Supervisor, hospitals: dict[str, Hospital]) -> Federation:
    """Start a gateway and the hospitals' nodes, and return when all are connected."""
    federation = Federation(folder, supervisor)
    contract = folder / "heart.odcs.yaml"
    write_contract(contract)
    for name, hospital in hospitals.items():
        federation.add_node(name, apps=(APP,), raw=hospital.csv(), contract=contract, policy="minimum_rows = 40")
    federation.wait_for(*hospitals)
    return federation


def run(federation: Federation, nodes: Sequence[str], strategy: str, seed: int) -> dict[str, dict[str, float]]:
    """Run one strategy with one seed, and return each hospital's report by node name."""
    config = {**COMMON, **STRATEGIES[strategy], "strategy": strategy}
    folder = federation.run(nodes, app=APP, config=config, seed=seed, timeout=60.0)
    report = json.loads((folder.artifacts / "report.json").read_text(encoding="utf-8"))
    return {node: report[str(flower_id(node))] for node in nodes}


def pooled_accuracy(reports: dict[str, dict[str, float]]) -> float:
    """Return the accuracy on all held-out rows together, from the hospitals' reports."""
    rows = [one["num-examples"] for one in reports.values()]
    return float(np.average([one["common-accuracy"] for one in reports.values()], weights=rows))


def references(hospitals: dict[str, Hospital]) -> dict[str, Any]:
    """Return what models trained on all rows, and on one hospital's rows, reach on all held-out rows together."""
    train = {name: (one.x[one.held_out == 0], one.y[one.held_out == 0]) for name, one in hospitals.items()}
    x = np.concatenate([rows for rows, _ in train.values()])
    mean, sd = x.mean(axis=0), x.std(axis=0) + 1e-9
    test_x = np.concatenate([one.x[one.held_out == 1] for one in hospitals.values()])
    test_y = np.concatenate([one.y[one.held_out == 1] for one in hospitals.values()])

    def accuracies(rows: Floats, labels: Floats) -> list[float]:
        models = (_adam(rows, labels, seed=seed) for seed in SEEDS)
        return [float(np.mean((((test_x - mean) / sd) @ m[:-1] + m[-1] > 0) == (test_y == 1))) for m in models]

    pooled = accuracies((x - mean) / sd, np.concatenate([labels for _, labels in train.values()]))
    local = {
        name: float(np.mean(accuracies((rows - rows.mean(axis=0)) / (rows.std(axis=0) + 1e-9), labels)))
        for name, (rows, labels) in train.items()
    }
    return {
        "pooled": {"mean": float(np.mean(pooled)), "sd": float(np.std(pooled)), **_published("pooled")},
        "local": {name: {"mean": value, "published_mean": PUBLISHED_LOCAL[name]} for name, value in local.items()},
    }


def _adam(x: Floats, y: Floats, *, seed: int) -> Floats:
    """Return weights and bias after ``REFERENCE_EPOCHS`` of Adam (Kingma and Ba, 2015); written apart from the app."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([x, np.ones(len(y))])
    model = rng.uniform(-1, 1, x.shape[1]) * len(FEATURES) ** -0.5
    first, second, step = np.zeros_like(model), np.zeros_like(model), 0
    for _ in range(REFERENCE_EPOCHS):
        order = rng.permutation(len(y))
        for rows in (order[i : i + BATCH] for i in range(0, len(y), BATCH)):
            step += 1
            gradient = x[rows].T @ (1 / (1 + np.exp(-x[rows] @ model)) - y[rows]) / len(rows)
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            rate = REFERENCE_RATE * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
            model = model - rate * first / (np.sqrt(second) + 1e-8)
    return np.asarray(model)


def _published(name: str) -> dict[str, float]:
    mean, sd = PUBLISHED[name]
    return {"published_mean": mean, "published_sd": sd}


def measure(strategies: Sequence[str], seeds: Sequence[int], data: Path) -> dict[str, Any]:
    """Run each strategy with each seed, and return what is reported."""
    hospitals = read_hospitals(data)
    result: dict[str, Any] = {"strategies": {}}
    with tempfile.TemporaryDirectory() as folder, Supervisor() as supervisor:
        federation = start(Path(folder), supervisor, hospitals)
        started = time.perf_counter()
        for strategy in strategies:
            reports = [run(federation, list(hospitals), strategy, seed) for seed in seeds]
            means = [pooled_accuracy(one) for one in reports]
            published_mean, published_sd = PUBLISHED[strategy]
            result["strategies"][strategy] = {
                "mean": float(np.mean(means)),
                "sd": float(np.std(means)),
                "centres": [float(np.mean([one[name]["federated-accuracy"] for one in reports])) for name in hospitals],
                **_published(strategy),
                "within_one_published_sd": bool(abs(np.mean(means) - published_mean) <= published_sd),
            }
            print(f"{strategy}: {result['strategies'][strategy]}", file=sys.stderr)
        result |= {"runs": len(strategies) * len(seeds), "seconds": time.perf_counter() - started}
    return result | {"load": os.getloadavg()[0], **references(hospitals)}


def main() -> None:
    """Parse the arguments and print the result; exit 1 if a mean is further than one published SD from the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategy", choices=list(STRATEGIES), action="append", help="only this one (repeatable)")
    parser.add_argument("--seed", type=int, action="append", help="only this one (repeatable)")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the four files")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    result = measure(arguments.strategy or list(STRATEGIES), arguments.seed or list(SEEDS), arguments.data)
    print(json.dumps(result, indent=2) if arguments.json else result)
    sys.exit(0 if all(one["within_one_published_sd"] for one in result["strategies"].values()) else 1)


if __name__ == "__main__":
    main()
