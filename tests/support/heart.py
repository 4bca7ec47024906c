"""Fed-Heart-Disease as FLamby (du Terrail et al., NeurIPS 2022) prepares it: four hospitals, 13 features, one split."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

Floats = NDArray[np.float64]

DATA = Path(__file__).parents[3] / "shared" / "data" / "heart-disease"
"""The four files, where the project lies beside ``shared/``."""
HOSPITALS = {"cleveland": "cleveland", "budapest": "hungarian", "switzerland": "switzerland", "long-beach": "va"}
"""Node names, and what the files are called, in FLamby's order."""
FEATURES = (
    *("age", "sex", "trestbps", "chol", "fbs", "thalach", "exang", "oldpeak"),
    *("cp_2", "cp_3", "cp_4", "restecg_1", "restecg_2"),
)
_COLUMNS = ("age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak")
_OUTCOME = 13


@dataclass(frozen=True)
class Hospital:
    """A hospital's complete rows.

    Attributes:
        x: features, ``(rows, 13)``.
        y: 1 with disease, ``(rows,)``.
        held_out: 1 where a row is for testing, ``(rows,)``.
    """

    x: Floats
    y: Floats
    held_out: Floats

    def csv(self) -> str:
        """Return the rows as the hospital exports them."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*FEATURES, "event", "held_out"])
        for x, y, held_out in zip(self.x, self.y, self.held_out, strict=True):
            writer.writerow([*(repr(float(value)) for value in x), int(y), int(held_out)])
        return out.getvalue()


def read_hospitals(folder: Path = DATA) -> dict[str, Hospital]:
    """Return the hospitals by node name."""
    return {node: _read(folder / f"processed.{name}.data") for node, name in HOSPITALS.items()}


def _read(path: Path) -> Hospital:
    with path.open(encoding="ascii", newline="") as file:
        rows = [row for row in csv.reader(file) if row and "?" not in row[: len(_COLUMNS)]]
    table = {name: np.array([float(row[i]) for row in rows]) for i, name in enumerate(_COLUMNS)}
    for name in FEATURES:
        if name not in table:
            column, _, level = name.partition("_")
            table[name] = (table[column] == float(level)).astype(np.float64)
    y = np.array([float(float(row[_OUTCOME]) > 0) for row in rows])
    stratify = y if np.bincount(y.astype(int)).min() > 2 else None
    _, test = train_test_split(np.arange(len(y)), train_size=0.66, random_state=43, stratify=stratify)
    held_out = np.zeros(len(y))
    held_out[test] = 1
    return Hospital(np.column_stack([table[name] for name in FEATURES]), y, held_out)


def write_contract(path: Path) -> None:
    """Write the data contract by which the hospitals' nodes curate what :meth:`Hospital.csv` exports (JSON is YAML)."""
    yes_or_no = {"logicalType": "integer", "required": True, "enum": [{"value": 0}, {"value": 1}]}
    columns: dict[str, dict[str, Any]] = {name: {"logicalType": "number", "required": True} for name in FEATURES}
    columns |= {"event": yes_or_no, "held_out": yes_or_no}
    contract = {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": "fed-heart-disease",
        "name": "Fed-Heart-Disease",
        "version": "1.0.0",
        "status": "active",
        "schema": [
            {
                "name": "export",
                "logicalType": "object",
                "properties": [{"name": name, **kind} for name, kind in columns.items()],
            },
            {
                "name": "harmonised",
                "logicalType": "object",
                "properties": [{"name": name, "transformLogic": name, **kind} for name, kind in columns.items()],
            },
        ],
    }
    path.write_text(json.dumps(contract), encoding="utf-8")
