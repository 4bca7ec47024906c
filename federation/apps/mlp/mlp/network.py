"""The network, as arrays and as a PyTorch module; the lab needs no PyTorch."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from flwr.app import Array, ArrayRecord

from mlp.shared.features import names

if TYPE_CHECKING:
    import torch


def widths(hidden: object, columns: int) -> list[int]:
    """Return the widths of all layers, from the columns to the one output.

    Raises:
        ValueError: a width is not between 1 and 4,096, or there are more than ten layers.
    """
    inner = [int(one) for one in names(hidden)]
    if len(inner) > 10 or not all(1 <= one <= 4096 for one in inner):
        raise ValueError("`hidden` is up to ten widths between 1 and 4096, separated by commas.")
    return [columns, *inner, 1]


def initial(sizes: list[int], rng: np.random.Generator) -> ArrayRecord:
    """Return weights and biases to begin with, uniform as PyTorch's linear layers have them."""
    arrays = {}
    for number, (before, after) in enumerate(pairwise(sizes)):
        spread = before**-0.5
        arrays[f"{2 * number}.weight"] = Array(rng.uniform(-spread, spread, (after, before)).astype(np.float32))
        arrays[f"{2 * number}.bias"] = Array(rng.uniform(-spread, spread, after).astype(np.float32))
    return ArrayRecord(arrays)


def build(sizes: list[int], arrays: ArrayRecord) -> torch.nn.Sequential:
    """Return the network with these weights and biases, on the GPU if there is one."""
    import torch

    layers: list[torch.nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1])
    network.load_state_dict({name: torch.from_numpy(array.numpy().copy()) for name, array in arrays.items()})
    return network.to("cuda" if torch.cuda.is_available() else "cpu")
