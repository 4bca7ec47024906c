"""Flower's strategies, by the names that the run's configuration uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flwr.app import ArrayRecord, Message, MetricRecord
from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedAvg, FedProx, FedYogi

NAMES = ("fedavg", "fedprox", "fedadam", "fedyogi", "fedadagrad")


class UncorrectedFedAdam(FedAdam):
    """FedAdam as published (Reddi et al., Adaptive Federated Optimization, 2021, algorithm 2).

    Flower's multiplies the server's learning rate by the bias correction of Kingma and Ba; here it is divided out.
    """

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Aggregate as FedAdam does, with the learning rate uncorrected."""
        eta, power = self.eta, server_round + 1.0
        self.eta = eta * (1 - self.beta_1**power) / (1 - self.beta_2**power) ** 0.5
        try:
            return super().aggregate_train(server_round, replies)
        finally:
            self.eta = eta


def make_strategy(config: Mapping[str, Any], nodes: int) -> FedAvg:
    """Return the strategy that the configuration names; every node takes part in every round.

    Raises:
        ValueError: there is none of that name.
    """
    name = str(config["strategy"])
    everybody: dict[str, Any] = {
        "min_train_nodes": nodes,
        "min_evaluate_nodes": nodes,
        "min_available_nodes": nodes,
    }
    if name == "fedavg":
        return FedAvg(**everybody)
    if name == "fedprox":
        return FedProx(**everybody, proximal_mu=float(config["proximal-mu"]))
    adaptive: dict[str, type[FedAdam | FedYogi | FedAdagrad]] = {
        "fedadam": UncorrectedFedAdam,
        "fedyogi": FedYogi,
        "fedadagrad": FedAdagrad,
    }
    if name not in adaptive:
        raise ValueError(f"There is no strategy {name!r}; there are {', '.join(NAMES)}.")
    strategy = adaptive[name](**everybody, eta=float(config["server-learning-rate"]), tau=float(config["tau"]))
    strategy.beta_1, strategy.beta_2 = float(config["beta-1"]), float(config["beta-2"])
    return strategy
