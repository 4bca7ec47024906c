"""What runs at the lab: adds the sites' sums, steps until nothing changes, and writes the table of coefficients."""

from __future__ import annotations

import json
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Context, RecordDict
from flwr.serverapp import Grid, ServerApp
from safetensors.numpy import save_file

from regression.model import FAMILIES, Sums, unscale
from regression.shared.collect import collect_evaluation
from regression.shared.exchange import ask, metrics_of
from regression.shared.features import Features, Wanted
from regression.shared.inference import coefficient_table
from regression.shared.onnx_model import OnnxModel, onnx_is_there
from regression.shared.scaling import Floats

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the whole of it; writes ``model.safetensors``, ``model.onnx`` and ``report.json`` into the working directory.

    Raises:
        ValueError: the configuration names no such family, or the fit does not converge.
    """
    config = context.run_config
    family = str(config["family"])
    if family not in FAMILIES:
        raise ValueError(f"There is no family {family!r}; there are {', '.join(FAMILIES)}.")
    nodes = list(grid.get_node_ids())
    features = Wanted.of(config).fit(ask(grid, nodes, "query.prepare", RecordDict()))
    beta, sums, steps = _fit(grid, nodes, features, context)
    estimate, covariance = unscale(beta, sums.covariance(family), features.scaling)
    labels = ["(intercept)", *features.labels]
    report: dict[str, Any] = {
        "family": family,
        "rows": sums.rows,
        "steps": steps,
        "deviance": sums.deviance,
        "dispersion": sums.dispersion(family),
        "coefficients": coefficient_table(labels, estimate, covariance),
    }
    if family == "binomial":
        replies = ask(grid, nodes, "query.evaluate", _content(features, beta))
        report["evaluation"] = collect_evaluation(replies)
    save_file(
        {"coefficients": estimate, "covariance": np.ascontiguousarray(covariance)},
        "model.safetensors",
        metadata={"task": json.dumps({"family": family, "outcome": config["outcome"], "columns": labels})},
    )
    if onnx_is_there():
        _write_onnx(family, estimate, features, {"family": family, "outcome": config["outcome"]})
    Path("report.json").write_text(json.dumps(report, indent=2), encoding="utf-8")


def _write_onnx(family: str, estimate: Floats, features: Features, about: dict[str, object]) -> None:
    """Write the model; of counts, it predicts the rate for an exposure of 1."""
    graph = OnnxModel(features.labels)
    graph.log1p(features.logarithmic)
    graph.impute(features.scaling.mean)
    graph.step("MatMul", estimate[1:, None])
    graph.step("Add", estimate[:1])
    if family != "gaussian":
        graph.step("Sigmoid" if family == "binomial" else "Exp")
    graph.save(Path("model.onnx"), about)


def _fit(grid: Grid, nodes: list[int], features: Features, context: Context) -> tuple[Floats, Sums, int]:
    beta = np.zeros(len(features.columns) + 1)
    for done in range(int(context.run_config["iterations"])):
        sums = _sums(grid, nodes, features, beta)
        step = sums.step()
        if np.abs(step).max() < float(context.run_config["tolerance"]):
            return beta, sums, done
        beta = beta + step
    raise ValueError(f"No convergence after {done + 1} steps: a feature may separate the outcomes completely.")


def _sums(grid: Grid, nodes: list[int], features: Features, beta: Floats) -> Sums:
    sites = []
    for reply in ask(grid, nodes, "query.step", _content(features, beta)):
        information, score = reply.content.array_records["sums"].to_numpy_ndarrays()
        metrics = metrics_of(reply)
        sites.append(Sums(information, score, float(metrics["deviance"]), int(metrics["rows"])))  # type: ignore[arg-type]
    return reduce(Sums.__add__, sites)


def _content(features: Features, beta: Floats) -> RecordDict:
    return RecordDict({"features": features.record(), "beta": ArrayRecord({"beta": Array(beta)})})
