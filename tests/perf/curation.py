"""What curation costs beside the barest way to the same table, and beside the same steps in pandas.

``python -m tests.perf.curation --rows 20000000 --json``

A seeded export of eight columns, a hundred rows a person, two in a hundred of them broken, is curated by the engine
(count and digest of the raw bytes, every rule, rejects, harmonised and sorted Parquet, profile). Beside it: DuckDB's
``COPY`` of the same file with the same casts, sort key, codec and memory limit, which skips what it cannot cast; and
pandas, taking the same decisions. Each is a process of its own, so that its peak memory can be told.

``ratio_vs_copy``, ``speedup_vs_pandas`` and ``peak_rss_mb`` are what is compared with the issue's figures. Not measured
here: object storage, planning of partitions.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from datalab.curation.contract import load_contract
from datalab.curation.database import Limits
from datalab.curation.engine import DATA, curate

CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: measurements
name: Laboratory values
version: 1.0.0
status: active
schema:
  - name: export
    properties:
      - {name: person, logicalType: integer, required: true}
      - {name: site, logicalType: string, required: true, enum: [{value: A}, {value: B}, {value: C}, {value: D}]}
      - {name: taken, logicalType: date, required: true}
      - {name: concept, logicalType: integer, required: true, logicalTypeOptions: {minimum: 1, maximum: 50}}
      - {name: value, logicalType: number, logicalTypeOptions: {minimum: 0, maximum: 1000}}
      - {name: age, logicalType: integer, required: true, logicalTypeOptions: {minimum: 0, maximum: 120}}
      - {name: sex, logicalType: string, required: true, enum: [{value: f}, {value: m}]}
      - {name: fasting, logicalType: integer, enum: [{value: 0}, {value: 1}]}
  - name: harmonised
    customProperties:
      - {property: datalab.sortBy, value: [site, concept, day]}
    properties:
      - {name: site, logicalType: string, required: true, transformLogic: site}
      - {name: concept, logicalType: integer, required: true, transformLogic: concept}
      - {name: day, logicalType: integer, required: true, transformLogic: taken - CAST('2000-01-01' AS DATE)}
      - {name: person, logicalType: integer, required: true, transformLogic: person}
      - {name: value, logicalType: number, transformLogic: value}
      - {name: age, logicalType: integer, required: true, transformLogic: age}
      - {name: female, logicalType: integer, required: true, transformLogic: CASE WHEN sex = 'f' THEN 1 ELSE 0 END}
      - {name: fasting, logicalType: integer, transformLogic: fasting}
"""
_MEMORY = "1GB"
_THREADS = 2


def generate(path: Path, rows: int) -> None:
    """Write the export: seeded, so that every machine has the same."""

    def chance(salt: int, sides: int) -> str:
        return f"(hash(i * 16 + {salt}) % {sides})"

    with duckdb.connect(config={"threads": _THREADS}) as database:
        database.execute(
            f"""
            COPY (
                SELECT i // 100 AS person,
                    CASE WHEN {chance(9, 200)} = 0 THEN 'Z' ELSE substr('ABCD', 1 + {chance(1, 4)}::INT, 1) END AS site,
                    CASE WHEN {chance(10, 200)} = 0 THEN '2024-02-31'
                        ELSE strftime(DATE '2000-01-01' + {chance(2, 9000)}::INT, '%Y-%m-%d') END AS taken,
                    1 + {chance(3, 50)} AS concept,
                    CASE WHEN {chance(4, 20)} = 0 THEN '' WHEN {chance(11, 200)} = 0 THEN '12,5'
                        ELSE ({chance(5, 100000)} / 100.0)::VARCHAR END AS value,
                    CASE WHEN {chance(12, 200)} = 0 THEN '' ELSE {chance(6, 100)}::VARCHAR END AS age,
                    CASE WHEN {chance(7, 2)} = 0 THEN 'f' ELSE 'm' END AS sex,
                    {chance(8, 2)} AS fasting
                FROM range({rows}) t(i)
            ) TO '{path}' (FORMAT csv, HEADER)
            """
        )


def by_engine(folder: Path) -> None:
    """Curate as a hospital's node or the lab does."""
    contract = load_contract(folder / "contract.odcs.yaml")
    curate(contract, folder / "export.csv", folder / "engine", limits=Limits(memory=_MEMORY, threads=_THREADS))


def by_copy(folder: Path) -> None:
    """Cast, sort and write, with nothing said about what is left out."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": _MEMORY,
        "threads": _THREADS,
        "temp_directory": str(folder / "spill"),
    }
    with duckdb.connect(config=config) as database:
        database.execute(
            f"""
            COPY (
                SELECT site, concept, taken - DATE '2000-01-01' AS day, person, value, age,
                    CASE WHEN sex = 'f' THEN 1 ELSE 0 END::BIGINT AS female, fasting
                FROM read_csv('{folder / "export.csv"}', header = true, ignore_errors = true, columns = {{
                    'person': 'BIGINT', 'site': 'VARCHAR', 'taken': 'DATE', 'concept': 'BIGINT', 'value': 'DOUBLE',
                    'age': 'BIGINT', 'sex': 'VARCHAR', 'fasting': 'BIGINT'}})
                ORDER BY ALL
            ) TO '{folder / "copy.parquet"}'
            (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3, PARQUET_VERSION V2, ROW_GROUP_SIZE 122880)
            """
        )


def by_pandas(folder: Path) -> None:
    """Take the same decisions on texts in memory."""
    import hashlib

    import pandas as pd

    raw = folder / "export.csv"
    with raw.open("rb") as file:
        hashlib.file_digest(file, "sha256")
    table = pd.read_csv(raw, dtype=str, keep_default_na=False)
    typed = pd.DataFrame(
        {
            "site": table["site"].where(table["site"].isin(list("ABCD"))),
            "concept": pd.to_numeric(table["concept"], errors="coerce").where(lambda one: one.between(1, 50)),
            "day": (
                pd.to_datetime(table["taken"], format="%Y-%m-%d", errors="coerce") - pd.Timestamp(2000, 1, 1)
            ).dt.days,
            "person": pd.to_numeric(table["person"], errors="coerce"),
            "value": pd.to_numeric(table["value"], errors="coerce").where(lambda one: one.between(0, 1000)),
            "age": pd.to_numeric(table["age"], errors="coerce").where(lambda one: one.between(0, 120)),
            "female": table["sex"].map({"f": 1, "m": 0}),
            "fasting": pd.to_numeric(table["fasting"], errors="coerce").where(lambda one: one.isin([0, 1])),
        }
    )
    bad = (typed.drop(columns=["value", "fasting"]).isna()).any(axis=1)
    for name in ("value", "fasting"):
        bad |= typed[name].isna() & (table[name] != "")
    rejects = [(line + 2, name) for name in typed.columns for line in table.index[bad & typed[name].isna()]]
    pd.DataFrame(rejects, columns=["line", "column"]).sort_values("line").to_csv(folder / "pandas.csv", index=False)
    kept = typed[~bad].sort_values(list(typed.columns))
    kept.to_parquet(folder / "pandas.parquet", compression="zstd", index=False)
    for name in kept.columns:
        kept[name].isna().sum()
        if name != "site":
            kept[name].nsmallest(10), kept[name].nlargest(10)


_WAYS = {"engine": by_engine, "copy": by_copy, "pandas": by_pandas}


def measure(way: str, folder: Path) -> dict[str, float]:
    """Run one way in a process of its own; return its seconds and peak memory in MB."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.perf.curation", "--way", way, "--folder", str(folder)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure, and print as JSON or as lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--way", choices=_WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        began = time.perf_counter()
        _WAYS[args.way](args.folder)
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "peak_rss_mb": peak}))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "contract.odcs.yaml").write_text(CONTRACT, encoding="utf-8")
        generate(folder / "export.csv", args.rows)
        found = {way: measure(way, folder) for way in _WAYS}
        rows = {
            way: duckdb.sql(f"SELECT count(*) FROM '{path}'").fetchall()[0][0]
            for way, path in (("engine", folder / "engine" / DATA), ("pandas", folder / "pandas.parquet"))
        }
        assert rows["engine"] == rows["pandas"], rows
        result = {
            "rows": args.rows,
            "rejected": args.rows - rows["engine"],
            "mb": (folder / "export.csv").stat().st_size / 1e6,
            **{f"{way}_seconds": round(one["seconds"], 2) for way, one in found.items()},
            "ratio_vs_copy": round(found["engine"]["seconds"] / found["copy"]["seconds"], 2),
            "speedup_vs_pandas": round(found["pandas"]["seconds"] / found["engine"]["seconds"], 2),
            "peak_rss_mb": round(found["engine"]["peak_rss_mb"]),
        }
    print(json.dumps(result) if args.json else "\n".join(f"{name:<20}{value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
