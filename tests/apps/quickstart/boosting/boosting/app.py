"""Gradient boosting by XGBoost: each client adds a tree a round, and FedXgbBagging puts them together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xgboost as xgb
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedXgbBagging

client = ClientApp()
server = ServerApp()
PARAMETERS = {"objective": "binary:logistic", "max_depth": 3, "nthread": 1, "tree_method": "hist", "seed": 0}
RNG = np.random.default_rng(4)
X = RNG.standard_normal((80, 5))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)


@client.train()
def train(message: Message, _: Context) -> Message:
    """Return the tree that this client adds."""
    data = xgb.DMatrix(X, label=Y)
    before = message.content.array_records["arrays"]["0"].numpy().tobytes()
    if before:
        booster = xgb.Booster(params=PARAMETERS)
        booster.load_model(bytearray(before))
        booster.update(data, booster.num_boosted_rounds())
        booster = booster[booster.num_boosted_rounds() - 1 : booster.num_boosted_rounds()]
    else:
        booster = xgb.train(PARAMETERS, data, num_boost_round=1)
    tree = np.frombuffer(booster.save_raw("json"), np.uint8)
    content = {"arrays": ArrayRecord([tree]), "metrics": MetricRecord({"num-examples": len(X)})}
    return Message(RecordDict(content), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Train for two rounds, and save the trees."""
    strategy = FedXgbBagging(fraction_evaluate=0.0)
    result = strategy.start(grid, ArrayRecord([np.zeros(0, np.uint8)]), num_rounds=2)
    np.savez(Path(str(context.run_config["out"])) / "result.npz", trees=result.arrays["0"].numpy())
