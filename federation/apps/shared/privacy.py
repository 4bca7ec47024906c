"""Differential privacy of what a site sends back from training: clipped, and with noise that nobody can draw again.

The promise is about a site's updates of the whole run: whatever its rows are, all that training sends is as likely up
to a factor of exp(epsilon), but for a chance of delta. It does not cover moments and evaluation, which have rules of
their own. Flower's own mods draw their noise from numpy's global generator, which here is seeded from the run's seed
that the lab knows: it could take the noise off again. Here each draw is seeded by the operating system, and never
recorded.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from math import erfc, exp, log, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord
from flwr.clientapp.typing import ClientAppCallable

_STATE = "privacy"
_KEPT = "num-examples"


def noise_multiplier(epsilon: float, delta: float, rounds: int) -> float:
    """Return the noise's standard deviation over the clipping norm, such that ``rounds`` updates keep the promise.

    An update of norm at most C changes by at most 2 C. So many Gaussian mechanisms are one with ``sqrt(rounds)`` times
    the shift, whose delta is known exactly (Balle and Wang, ICML 2018, theorem 8); the largest shift is found by
    halving.
    """
    low, high = 0.0, 1.0
    while _delta(epsilon, high) <= delta:
        low, high = high, 2 * high
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _delta(epsilon, middle) <= delta else (low, middle)
    return 2 * sqrt(rounds) / low


def _delta(epsilon: float, shift: float) -> float:
    near, far = shift / 2 - epsilon / shift, -shift / 2 - epsilon / shift
    tail = _normal(far)
    return _normal(near) - (exp(epsilon + log(tail)) if tail > 0 else 0.0)


def _normal(x: float) -> float:
    return erfc(-x / sqrt(2)) / 2


def spends(config: Mapping[str, Any]) -> bool:
    """Return whether a run is to keep the promise at all."""
    return float(config["privacy-epsilon"]) > 0


def write_accounting(config: Mapping[str, Any]) -> None:
    """Write what the run has spent into ``privacy.json``, if it keeps the promise."""
    if not spends(config):
        return
    epsilon, delta, rounds = (
        float(config["privacy-epsilon"]),
        float(config["privacy-delta"]),
        int(config["num-server-rounds"]),
    )
    said = {
        "covers": "all updates of each site in training",
        "epsilon": epsilon,
        "delta": delta,
        "clipping_norm": float(config["clipping-norm"]),
        "noise_multiplier": noise_multiplier(epsilon, delta, rounds),
        "rounds": rounds,
    }
    Path("privacy.json").write_text(json.dumps(said, indent=2), encoding="utf-8")


def private_updates(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Clip a site's update and add noise to it (a mod of its ClientApp); of its metrics only the rows are left.

    Raises:
        ValueError: it is asked for more updates than the promise was made for, or the promise is none: budgets count
            epsilon alone, and a great delta would make it cheap.
    """
    config = context.run_config
    if message.metadata.message_type.partition(".")[0] != "train" or not spends(config):
        return call_next(message, context)
    rounds = int(config["num-server-rounds"])
    _count(context, rounds)
    before = message.content.array_records["arrays"]
    reply = call_next(message, context)
    after = reply.content.array_records["arrays"]
    clip = float(config["clipping-norm"])
    sigma = clip * noise_multiplier(float(config["privacy-epsilon"]), float(config["privacy-delta"]), rounds)
    step = {name: after[name].numpy().astype(np.float64) - before[name].numpy() for name in before}
    norm = sqrt(sum(float((one**2).sum()) for one in step.values()))
    if not np.isfinite(norm):
        raise ValueError("The update is not finite, and cannot be clipped.")
    rng = np.random.default_rng(secrets.randbits(256))
    shrink = min(1.0, clip / norm) if norm else 1.0
    reply.content["arrays"] = ArrayRecord(
        {
            name: Array(
                np.asarray(
                    before[name].numpy() + (one * shrink + rng.normal(0.0, sigma, one.shape)),
                    dtype=before[name].numpy().dtype,
                )
            )
            for name, one in step.items()
        }
    )
    told = {key: one for record in reply.content.metric_records.values() for key, one in record.items()}
    if float(config["privacy-delta"]) * float(told[_KEPT]) > 1:  # type: ignore[arg-type]
        raise ValueError(
            "With a delta above 1 in the rows of a site, a row could be sent as it is, whatever epsilon is."
        )
    reply.content["metrics"] = MetricRecord({_KEPT: told[_KEPT]})
    return reply


def _count(context: Context, rounds: int) -> None:
    """Count an update in the run's state, which outlives the worker."""
    state = context.state.config_records.get(_STATE, ConfigRecord({"updates": 0}))
    done = int(state["updates"])  # type: ignore[arg-type]
    if done >= rounds:
        raise ValueError(f"The privacy that the run declares is for {rounds} rounds, and this would be one more.")
    context.state[_STATE] = ConfigRecord({"updates": done + 1})
