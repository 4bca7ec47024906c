"""A model as ONNX, so that whoever serves models needs neither Flower nor the app: raw features in, prediction out.

The graph has one input ``features`` (rows, columns; double; NaN for missing; a level's column is 1 or 0) and one output
``prediction`` (rows, 1; double). Imputation, ln(1 + x) and scaling are part of it. Operators are those of opset 17 and
ai.onnx.ml 3 (onnx.ai).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .scaling import Floats, Scaling

if TYPE_CHECKING:
    from numpy.typing import NDArray

INPUT, OUTPUT = "features", "prediction"


def onnx_is_there() -> bool:
    """Return whether a model can be written; says so in the run's log if not."""
    there = find_spec("onnx") is not None
    if not there:
        print("No model.onnx is written: the lab has no package onnx (the extra `onnx`).")  # noqa: T201
    return there


class OnnxModel:
    """A graph in the making: each step takes what the one before gave.

    Args:
        columns: what the columns are called, in order.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._at = INPUT

    def step(self, operator: str, *constants: NDArray[Any], domain: str = "", **attributes: Any) -> None:
        """Apply an operator to what there is, with constants as its further inputs."""
        self._at = self._apply(operator, self._at, *map(self._constant, constants), domain=domain, **attributes)

    def impute(self, mean: Floats) -> None:
        """Put a column's mean where a value is missing."""
        missing = self._apply("IsNaN", self._at)
        self._at = self._apply("Where", missing, self._constant(mean), self._at)

    def log1p(self, columns: Sequence[bool]) -> None:
        """Take ln(1 + x) of some columns."""
        if any(columns):
            grown = self._apply("Log", self._apply("Add", self._at, self._constant(np.array(1.0))))
            self._at = self._apply("Where", self._constant(np.array(columns)), grown, self._at)

    def scale(self, scaling: Scaling) -> None:
        """Impute, take off the mean, divide by the scale."""
        self.impute(scaling.mean)
        self.step("Sub", scaling.mean)
        self.step("Div", scaling.scale)

    def keep_missing(self, before: str) -> None:
        """Have missing what was missing at an earlier point (``at``): operators differ in what they make of NaN."""
        missing = self._apply("IsNaN", before)
        self._at = self._apply("Where", missing, before, self._at)

    @property
    def at(self) -> str:
        """The point that is reached."""
        return self._at

    def cast(self, kind: type[np.float32 | np.float64]) -> None:
        """Go on with numbers of another precision."""
        from onnx import TensorProto

        self.step("Cast", to=TensorProto.FLOAT if kind is np.float32 else TensorProto.DOUBLE)

    def save(self, path: Path, about: Mapping[str, object]) -> None:
        """Write the model; the same model gives the same bytes.

        Args:
            path: where to.
            about: what is written into it, beside the names of its columns.
        """
        from onnx import TensorProto, checker, helper

        self._nodes[-1].output[0] = OUTPUT
        graph = helper.make_graph(
            self._nodes,
            "model",
            [helper.make_tensor_value_info(INPUT, TensorProto.DOUBLE, ["rows", len(self._columns)])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.DOUBLE, ["rows", 1])],
            self._constants,
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="datalab")
        helper.set_model_props(model, {"columns": json.dumps(self._columns), "about": json.dumps(dict(about))})
        checker.check_model(model)
        path.write_bytes(model.SerializeToString(deterministic=True))

    def _apply(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        from onnx import helper

        name = f"v{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], domain=domain, **attributes))
        return name

    def _constant(self, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name
