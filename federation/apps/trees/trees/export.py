"""XGBoost's trees as an ONNX tree ensemble."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from trees.grid import REACH, STEPS_PER_SD
from trees.shared.features import Features
from trees.shared.onnx_model import OnnxModel

_LEAF = -1
_NODE = (
    "treeids",
    "nodeids",
    "featureids",
    "modes",
    "values",
    "truenodeids",
    "falsenodeids",
    "missing_value_tracks_true",
)


def write_onnx(model: bytes, features: Features, path: Path, about: dict[str, object]) -> None:
    """Write the model (XGBoost's JSON) as ONNX, the common grid of the features included.

    A row goes left where its value is smaller than the threshold, and where a missing value goes the tree says; the
    leaves' values are added to the logit of the base score (Chen and Guestrin, 2016).
    """
    learner = json.loads(model)["learner"]
    base = float(str(learner["learner_model_param"]["base_score"]).strip("[]"))
    graph = OnnxModel(features.labels)
    graph.log1p(features.logarithmic)
    before = graph.at
    graph.step("Sub", features.scaling.mean)
    graph.step("Div", features.scaling.scale)
    graph.step("Mul", np.array(float(STEPS_PER_SD)))
    graph.step("Round")
    graph.step("Div", np.array(float(STEPS_PER_SD)))
    graph.step("Clip", np.array(-REACH), np.array(REACH))
    graph.keep_missing(before)
    graph.cast(np.float32)
    trees = learner["gradient_booster"]["model"]["trees"]
    graph.step("TreeEnsembleRegressor", domain="ai.onnx.ml", **_ensemble(trees, base))
    graph.cast(np.float64)
    graph.step("Sigmoid")
    graph.save(path, about)


def _ensemble(trees: list[dict[str, Any]], base: float) -> dict[str, Any]:
    nodes: dict[str, list[Any]] = {f"nodes_{name}": [] for name in _NODE}
    leaves: dict[str, list[Any]] = {f"target_{name}": [] for name in ("treeids", "nodeids", "ids", "weights")}
    for number, tree in enumerate(trees):
        for node, left in enumerate(tree["left_children"]):
            leaf = left == _LEAF
            row = (
                number,
                node,
                0 if leaf else tree["split_indices"][node],
                "LEAF" if leaf else "BRANCH_LT",
                0.0 if leaf else tree["split_conditions"][node],
                0 if leaf else left,
                0 if leaf else tree["right_children"][node],
                0 if leaf else int(tree["default_left"][node]),
            )
            for values, value in zip(nodes.values(), row, strict=True):
                values.append(value)
            if leaf:
                for values, value in zip(
                    leaves.values(), (number, node, 0, tree["split_conditions"][node]), strict=True
                ):
                    values.append(value)
    return {
        **nodes,
        **leaves,
        "n_targets": 1,
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "base_values": [float(np.log(base / (1 - base)))],
    }
