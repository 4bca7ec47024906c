"""An app of Flower's older interface, which Flower still runs: a NumPyClient, and a server function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from flwr.client import ClientApp, NumPyClient
from flwr.common import Context, FitRes, Metrics, Parameters, parameters_to_ndarrays
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy import FedAvg


class Client(NumPyClient):
    """Moves the model towards a goal of its own."""

    def __init__(self, number: int) -> None:
        self.number = number

    def get_parameters(self, config: dict[str, Any]) -> list[np.ndarray]:
        """Return a model to begin with; every node has the same."""
        return [np.zeros(4), np.full((2, 2), len(config) + 1.0)]

    def fit(self, parameters: list[np.ndarray], config: dict[str, Any]) -> tuple[list[np.ndarray], int, Metrics]:
        """Return the model after a step, and how many rows it is from."""
        step = float(config["rate"])
        return [one + step * (self.number + 1 - one) for one in parameters], 10 + self.number, {"node": self.number}

    def evaluate(self, parameters: list[np.ndarray], _: dict[str, Any]) -> tuple[float, int, Metrics]:
        """Return how far the model is from the goal."""
        return float(sum(np.abs(self.number + 1 - one).sum() for one in parameters)), 10 + self.number, {}


def client_fn(context: Context) -> Any:
    """Return the client of this node."""
    return Client(int(context.node_config["partition-id"])).to_client()


class Saving(FedAvg):
    """FedAvg that saves the model of each round."""

    def __init__(self, out: Path) -> None:
        super().__init__(on_fit_config_fn=lambda number: {"rate": 0.5 / number})
        self._out = out

    def aggregate_fit(
        self, server_round: int, results: list[tuple[ClientProxy, FitRes]], failures: list[Any]
    ) -> tuple[Parameters | None, dict[str, Any]]:
        """Return the mean of all models."""
        parameters, metrics = super().aggregate_fit(server_round, results, failures)
        if parameters is not None:
            np.savez(self._out / "result.npz", *parameters_to_ndarrays(parameters))
        return parameters, metrics


def server_fn(context: Context) -> ServerAppComponents:
    """Return what the server works with."""
    strategy = Saving(Path(str(context.run_config["out"])))
    return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=2))


client = ClientApp(client_fn=client_fn)
server = ServerApp(server_fn=server_fn)
