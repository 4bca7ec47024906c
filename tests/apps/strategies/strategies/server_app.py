"""Trains with one strategy after the other, and saves what each ends with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp import strategy as flower

from strategies.aligned import AlignedGrid, sites_of

app = ServerApp()
FEATURES = 7
MOD = "mod"
"""Says in a message which mod its client has to apply."""


def private(wrapper: Callable[..., Any], **own: Any) -> Callable[..., Any]:
    """Return a maker of FedAvg in one of the wrappers for differential privacy, without noise: that is secret."""

    def make(**shared: Any) -> Any:
        sampled = 3 if shared["fraction_train"] == 1 else 2
        return wrapper(flower.FedAvg(**shared), noise_multiplier=0.0, num_sampled_clients=sampled, **own)

    return make


FIXED = {"clipping_norm": 0.05}
ADAPTIVE = {"initial_clipping_norm": 0.05, "clipped_count_stddev": 0.0}
AT_CLIENTS = {
    "DifferentialPrivacyClientSideFixedClipping": "fixed",
    "DifferentialPrivacyClientSideAdaptiveClipping": "adaptive",
}
BOOSTED = {"FedXgbBagging", "FedXgbCyclic"}
STRATEGIES: dict[str, Callable[..., Any]] = {
    "FedAvg": flower.FedAvg,
    "FedAvgM": lambda **own: flower.FedAvgM(server_learning_rate=0.9, server_momentum=0.5, **own),
    "FedProx": lambda **own: flower.FedProx(proximal_mu=0.1, **own),
    "FedAdam": flower.FedAdam,
    "FedAdagrad": flower.FedAdagrad,
    "FedYogi": flower.FedYogi,
    "QFedAvg": lambda **own: flower.QFedAvg(client_learning_rate=0.1, q=0.3, **own),
    "FedMedian": flower.FedMedian,
    "FedTrimmedAvg": flower.FedTrimmedAvg,
    "Krum": flower.Krum,
    "MultiKrum": lambda **own: flower.MultiKrum(num_nodes_to_select=2, **own),
    "Bulyan": flower.Bulyan,
    "FedXgbBagging": flower.FedXgbBagging,
    "FedXgbCyclic": flower.FedXgbCyclic,
    "DifferentialPrivacyServerSideFixedClipping": private(flower.DifferentialPrivacyServerSideFixedClipping, **FIXED),
    "DifferentialPrivacyServerSideAdaptiveClipping": private(
        flower.DifferentialPrivacyServerSideAdaptiveClipping, **ADAPTIVE
    ),
    "DifferentialPrivacyClientSideFixedClipping": private(flower.DifferentialPrivacyClientSideFixedClipping, **FIXED),
    "DifferentialPrivacyClientSideAdaptiveClipping": private(
        flower.DifferentialPrivacyClientSideAdaptiveClipping, **ADAPTIVE
    ),
}
CASES = [
    (name, fraction) for name in STRATEGIES for fraction in (1.0, 0.5) if (name, fraction) != ("FedXgbCyclic", 0.5)
]
"""FedXgbCyclic asks one node a round; Flower's own raises ValueError for any fraction but 0 and 1."""


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the strategies that the configuration asks for."""
    config = context.run_config
    aligned = AlignedGrid(grid, sites_of(context))
    only = str(config["only"]).split() or list(STRATEGIES)
    for name, fraction in CASES:
        if name not in only:
            continue
        # Two of three sites are sampled where the fraction is a half.
        strategy = STRATEGIES[name](fraction_train=fraction, fraction_evaluate=0.0, min_available_nodes=3)
        result = strategy.start(
            grid=aligned,
            initial_arrays=initial(name),
            num_rounds=int(config["rounds"]),
            train_config=ConfigRecord({MOD: AT_CLIENTS.get(name, "none")}),
        )
        arrays = {key: array.numpy() for key, array in result.arrays.items()}
        np.savez(Path(str(config["out"])) / f"{name}-{fraction}.npz", **arrays)


def initial(name: str) -> ArrayRecord:
    """Return a model to begin with: of trees for the strategies that add trees up, else linear."""
    if name in BOOSTED:
        return ArrayRecord([np.frombuffer(json.dumps(forest()).encode(), np.uint8)])
    return ArrayRecord([np.linspace(-1, 1, FEATURES, dtype=np.float32), np.zeros(1, np.float32)])


def forest(*trees: dict[str, Any]) -> dict[str, Any]:
    """Return a boosted model in the form of XGBoost's JSON, as far as Flower's strategies read it."""
    model = {
        "gbtree_model_param": {"num_trees": str(len(trees)), "num_parallel_tree": "1"},
        "iteration_indptr": list(range(len(trees) + 1)),
        "trees": list(trees),
        "tree_info": [0] * len(trees),
    }
    return {"learner": {"gradient_booster": {"model": model}}}
