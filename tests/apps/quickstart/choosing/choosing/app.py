"""A strategy of the app's own from the ground up: each round, the model of the node with the lowest loss wins."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import Strategy

client = ClientApp()
server = ServerApp()


class Best(Strategy):
    """Asks all nodes, and goes on with the best of their models."""

    def summary(self) -> None:
        """Print what this is."""
        print("the best of all")

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the messages of a round."""
        content = RecordDict({"model": arrays, "how": ConfigRecord({**config, "round": server_round})})
        return [Message(content, node, MessageType.TRAIN) for node in grid.get_node_ids()]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the best model and its loss."""
        found = [one.content for one in replies if one.has_content()]
        best = min(found, key=lambda one: float(one.metric_records["found"]["loss"]))
        spread = np.ptp([float(one.metric_records["found"]["loss"]) for one in found])
        metrics = {"loss": best.metric_records["found"]["loss"], "spread": float(spread), "round": server_round}
        return best.array_records["model"], MetricRecord(metrics)

    def configure_evaluate(self, *_: object) -> Iterable[Message]:
        """Return nothing: nobody is asked."""
        return []

    def aggregate_evaluate(self, *_: object) -> MetricRecord | None:
        """Return nothing."""
        return None


@client.train()
def train(message: Message, context: Context) -> Message:
    """Return a model that is nearer to this node's goal, and how far it still is."""
    number = int(context.node_config["partition-id"])
    how = message.content.config_records["how"]
    model = message.content.array_records["model"]["w"].numpy()
    goal = np.full_like(model, 2.0 + number)
    model = model + float(how["rate"]) / int(how["round"]) * (goal - model)
    content = {
        "model": ArrayRecord({"w": Array(model)}),
        "found": MetricRecord({"loss": float(np.abs(goal - model).sum())}),
    }
    return Message(RecordDict(content), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Train for three rounds; save the model and what was found of each round."""
    initial = ArrayRecord({"w": Array(np.zeros((2, 2)))})
    result = Best().start(grid, initial, num_rounds=3, train_config=ConfigRecord({"rate": 0.3}))
    found = [[float(one["loss"]), float(one["spread"])] for _, one in sorted(result.train_metrics_clientapp.items())]
    np.savez(Path(str(context.run_config["out"])) / "result.npz", model=result.arrays["w"].numpy(), found=found)
