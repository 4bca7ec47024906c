"""What curation costs beside the barest way to the same table, and beside the same steps in pandas.

``python -m tests.perf.curation --rows 20000000 --json``

A seeded export of eight columns, a hundred rows a person, two in a hundred of them broken, goes through all stages of
the engine: digest and count of the raw bytes, every rule, rejects, keyed pseudonyms, age bands and k-anonymity,
harmonised and sorted Parquet, profile, upload to the object store (the embedded one, on this machine). Beside it:
DuckDB's ``COPY`` of the same file with the same casts, sort key, codec, memory limit and target, which skips what it
cannot cast and de-identifies nothing; and pandas, taking the same steps: digest, an independent count that says where
each record lies, rejects by line, record, column, rule and class, pseudonyms, bands, k-anonymity, sorted Parquet,
profile, upload. Each is a process of its own, so that its peak memory can be told. ``cpu_ratio_vs_copy`` is the same
in CPU seconds, for machines that others use too.

``scan_ratio_vs_local`` is a typical filter and aggregate on the uploaded file, in DuckDB, over the same on the local
file, both warm; ``scan_mb`` is what the first of these queries fetched of how many, by the reader's own counters.

``--limit-gb 2`` gives the engine's process no more address space than that (``RLIMIT_AS``): the kernel refuses what is
beyond it. Memory in use is always less.

Not measured here: planning of partitions (``tests.perf.partitions``).
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib.util
import json
import math
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb

from datalab.curation.contract import load_contract
from datalab.curation.database import Limits
from datalab.curation.engine import DATA, REJECTS, PseudonymKey, curate
from datalab.home import Home
from datalab.storage.service import SERVICE as OBJECT_STORE
from datalab.storage.store import connect
from datalab.supervisor import Supervisor

CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: measurements
name: Laboratory values
version: 1.0.0
status: active
schema:
  - name: export
    customProperties:
      - {property: datalab.kAnonymity, value: {k: 5, quasiIdentifiers: [age, sex], lossLimit: 0.05}}
    properties:
      - name: person
        logicalType: integer
        required: true
        customProperties: [{property: datalab.deidentify, value: pseudonym}]
      - {name: site, logicalType: string, required: true, enum: [{value: A}, {value: B}, {value: C}, {value: D}]}
      - {name: taken, logicalType: date, required: true}
      - {name: concept, logicalType: integer, required: true, logicalTypeOptions: {minimum: 1, maximum: 50}}
      - {name: value, logicalType: number, logicalTypeOptions: {minimum: 0, maximum: 1000}}
      - name: age
        logicalType: integer
        required: true
        logicalTypeOptions: {minimum: 0, maximum: 120}
        customProperties: [{property: datalab.deidentify, value: {band: [5, 10]}}]
      - {name: sex, logicalType: string, required: true, enum: [{value: f}, {value: m}]}
      - {name: fasting, logicalType: integer, enum: [{value: 0}, {value: 1}]}
  - name: harmonised
    customProperties:
      - {property: datalab.sortBy, value: [site, concept, day]}
    properties:
      - {name: site, logicalType: string, required: true, transformLogic: site}
      - {name: concept, logicalType: integer, required: true, transformLogic: concept}
      - {name: day, logicalType: integer, required: true, transformLogic: taken - CAST('2000-01-01' AS DATE)}
      - {name: person, logicalType: string, required: true, transformLogic: person}
      - {name: value, logicalType: number, transformLogic: value}
      - {name: age, logicalType: number, required: true, transformLogic: age}
      - {name: female, logicalType: integer, required: true, transformLogic: CASE WHEN sex = 'f' THEN 1 ELSE 0 END}
      - {name: fasting, logicalType: integer, transformLogic: fasting}
"""
_KEY = PseudonymKey(b"of the benchmark, and of nobody else")
_MEMORY = "1GB"
_THREADS = 2


def generate(path: Path, rows: int) -> None:
    """Write the export: seeded, so that every machine has the same."""

    def chance(salt: int, sides: int, of: str = "i") -> str:
        return f"(hash({of} * 16 + {salt}) % {sides})"

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
                    CASE WHEN {chance(12, 200)} = 0 THEN '' ELSE {chance(6, 100, "i // 100")}::VARCHAR END AS age,
                    CASE WHEN {chance(7, 2, "i // 100")} = 0 THEN 'f' ELSE 'm' END AS sex,
                    {chance(8, 2)} AS fasting
                FROM range({rows}) t(i)
            ) TO '{path}' (FORMAT csv, HEADER)
            """
        )


def by_engine(folder: Path) -> None:
    """Curate as a hospital's node or the lab does, and upload."""
    contract = load_contract(folder / "contract.odcs.yaml")
    limits = Limits(memory=_MEMORY, threads=_THREADS)
    curate(contract, folder / "export.csv", folder / "engine", key=_KEY, limits=limits)
    connect(Home(folder / "home")).put_file("data/engine.parquet", folder / "engine" / DATA)


def by_copy(folder: Path) -> None:
    """Cast, sort and write, with nothing said about what is left out."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": _MEMORY,
        "threads": _THREADS,
        "temp_directory": str(folder / "spill"),
    }
    with duckdb.connect(config=config) as database:
        _open_store(database, folder)
        database.execute(
            f"""
            COPY (
                SELECT site, concept, taken - DATE '2000-01-01' AS day, person, value, age,
                    CASE WHEN sex = 'f' THEN 1 ELSE 0 END::BIGINT AS female, fasting
                FROM read_csv('{folder / "export.csv"}', header = true, ignore_errors = true, columns = {{
                    'person': 'BIGINT', 'site': 'VARCHAR', 'taken': 'DATE', 'concept': 'BIGINT', 'value': 'DOUBLE',
                    'age': 'BIGINT', 'sex': 'VARCHAR', 'fasting': 'BIGINT'}})
                ORDER BY ALL
            ) TO '{connect(Home(folder / "home")).uri("data/copy.parquet")}'
            (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3, PARQUET_VERSION V2, ROW_GROUP_SIZE 122880)
            """
        )


def _open_store(database: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Let DuckDB read and write the object store."""
    store = connect(Home(folder / "home"))
    spec = importlib.util.find_spec("duckdb_extension_httpfs")
    assert spec is not None
    assert spec.origin is not None
    extension = Path(spec.origin).parent / "extensions" / f"v{duckdb.__version__}" / "httpfs.duckdb_extension"
    database.execute(f"LOAD '{extension}'")
    database.execute(
        f"CREATE SECRET (TYPE s3, KEY_ID '{store.access_key}', SECRET '{store.secret_key}', "
        f"ENDPOINT '{store.endpoint}', USE_SSL false, URL_STYLE 'path', REGION '{store.region}')"
    )


def by_pandas(folder: Path) -> None:
    """Take the same steps on texts in memory, each in the way that pandas has for it."""
    import numpy as np
    import pandas as pd

    raw = folder / "export.csv"
    with raw.open("rb") as file:
        hashlib.file_digest(file, "sha256")
    with raw.open(encoding="utf-8", newline="") as file:  # the independent count, and where each record begins
        reader = csv.reader(file)
        ends = [reader.line_num for _ in reader]
    table = pd.read_csv(raw, dtype=str, keep_default_na=False)
    assert len(table) == len(ends) - 1
    for name in table.columns:
        table[name] = table[name].str.strip(" \t")
    whole = {name: _whole(table[name]) for name in ("person", "concept", "age", "fasting")}
    values = pd.to_numeric(table["value"], errors="coerce").replace([np.inf, -np.inf], np.nan)
    taken = pd.to_datetime(table["taken"], format="%Y-%m-%d", errors="coerce")
    typed = {"person": whole["person"], "site": table["site"], "taken": taken, "concept": whole["concept"]}
    typed |= {"value": values, "age": whole["age"], "sex": table["sex"], "fasting": whole["fasting"]}
    allowed = {
        "site": typed["site"].isin(list("ABCD")),
        "concept": typed["concept"].between(1, 50),
        "value": typed["value"].between(0, 1000),
        "age": typed["age"].between(0, 120),
        "sex": typed["sex"].isin(["f", "m"]),
        "fasting": typed["fasting"].isin([0, 1]),
    }
    findings = []
    bad = pd.Series(data=False, index=table.index)
    for place, (name, value) in enumerate(typed.items()):
        empty, untyped = table[name] == "", value.isna()
        wrong = ~allowed.get(name, ~untyped) & ~(empty if name in {"value", "fasting"} else False)
        bad |= wrong
        some = wrong[wrong].index
        rule = np.select(
            [empty[some], untyped[some]], ["required", "type"], "range" if name in _RANGES else "code list"
        )
        number = table[name][some].str.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
        kind = np.select([empty[some], number], ["empty", "number"], "text")
        findings.append(
            pd.DataFrame({"record": some + 1, "place": place, "column": name, "rule": rule, "value_class": kind})
        )
    rejects = pd.concat(findings).sort_values(["record", "place"])
    rejects.insert(0, "line", np.array(ends)[rejects["record"] - 1] + 1)
    rejects.drop(columns="place").to_csv(folder / "pandas.csv", index=False)
    kept = pd.DataFrame(
        {
            "site": typed["site"],
            "concept": typed["concept"],
            "day": (typed["taken"] - pd.Timestamp(2000, 1, 1)).dt.days,
            "person": typed["person"],
            "value": typed["value"],
            "age": typed["age"],
            "female": (typed["sex"] == "f").astype(int),
            "fasting": typed["fasting"],
        }
    )[~bad]
    people = {person: _KEY.pseudonym("measurements", str(int(person)))[0] for person in kept["person"].unique()}
    kept["person"] = kept["person"].map(people)
    for width in (5, 10):
        band = kept["age"] // width * width + (width - 1) / 2
        sizes = kept.groupby([band, "female"])["person"].transform("nunique")
        if (sizes < 5).mean() <= 0.05:
            break
    kept["age"] = band
    kept = kept[sizes >= 5].sort_values(list(kept.columns))
    kept.to_parquet(
        folder / "pandas.parquet", compression="zstd", compression_level=3, row_group_size=122_880, index=False
    )
    for name in kept.columns:
        assert not (kept[name].isna().any() and name not in {"value", "fasting"})
        if name not in {"site", "person"}:
            kept[name].nsmallest(10), kept[name].nlargest(10)
            np.histogram(kept[name].dropna(), bins=10)
    kept["site"].value_counts()
    connect(Home(folder / "home")).put_file("data/pandas.parquet", folder / "pandas.parquet")


_RANGES = {"concept", "value", "age"}


def _whole(texts: Any) -> Any:
    """Return whole numbers, and nothing for what is none."""
    import pandas as pd

    numbers = pd.to_numeric(texts, errors="coerce")
    return numbers.where(numbers % 1 == 0)


def scan(folder: Path) -> dict[str, float]:
    """Return how much longer a query takes on the uploaded file than on the local one, and what it fetched."""
    query = (
        "SELECT female, count(*), avg(value) FROM '{}' WHERE site = 'B' AND concept BETWEEN 10 AND 12 "
        "GROUP BY ALL ORDER BY ALL"
    )
    local, remote = folder / "engine" / DATA, connect(Home(folder / "home")).uri("data/engine.parquet")
    with duckdb.connect(config={"threads": _THREADS}) as database:
        _open_store(database, folder)
        first = "\n".join(database.execute("EXPLAIN ANALYZE " + query.format(remote)).fetchall()[0])
        fetched = re.search(r"in: ([0-9.]+) (KiB|MiB|GiB|bytes)", first)
        assert fetched is not None, first
        unit = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[fetched[2]]
        best = {}
        for where in (local, remote):
            pairs = zip(*(database.execute(query.format(one)).fetchall() for one in (where, local)), strict=True)
            assert all(math.isclose(*both) for rows in pairs for both in zip(*rows, strict=True))
            times = []
            for _ in range(20):
                began = time.perf_counter()
                database.execute(query.format(where)).fetchall()
                times.append(time.perf_counter() - began)
            best[where] = statistics.median(times)
    return {
        "scan_ratio_vs_local": round(best[remote] / best[local], 2),
        "scan_ms": round(best[remote] * 1000, 1),
        "scan_mb": round(float(fetched[1]) * unit / 1e6, 2),
        "scan_of_mb": round(local.stat().st_size / 1e6, 2),
    }


def _rejects(path: Path) -> Any:
    """Return the findings of a rejects file: how many, and a sum over all that they say."""
    return duckdb.sql(
        f"SELECT count(*), bit_xor(hash(line, record, \"column\", rule, value_class)) FROM read_csv('{path}', "
        "types = {'value_class': 'VARCHAR'})"
    ).fetchall()


_WAYS = {"engine": by_engine, "copy": by_copy, "pandas": by_pandas}


def measure(way: str, folder: Path, limit: float | None) -> dict[str, float]:
    """Run one way in a process of its own; return its seconds and peak memory in MB."""
    limited = [] if limit is None or way != "engine" else ["--limit-gb", str(limit)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.perf.curation", "--way", way, "--folder", str(folder), *limited],
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
    parser.add_argument(
        "--without", action="append", choices=["pandas", "copy"], default=[], help="pandas needs memory for all rows"
    )
    parser.add_argument("--limit-gb", type=float, help="address space of the engine's process")
    parser.add_argument("--way", choices=_WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        if args.limit_gb is not None:
            most = int(args.limit_gb * (1 << 30))
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        began = time.perf_counter()
        _WAYS[args.way](args.folder)
        seconds = time.perf_counter() - began
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu = used.ru_utime + used.ru_stime
        print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_rss_mb": used.ru_maxrss / 1024}))
        return
    with tempfile.TemporaryDirectory() as name, Supervisor() as supervisor:
        folder = Path(name)
        supervisor.start(OBJECT_STORE.name, OBJECT_STORE.module, Home(folder / "home"))
        (folder / "contract.odcs.yaml").write_text(CONTRACT, encoding="utf-8")
        generate(folder / "export.csv", args.rows)
        ways = [way for way in _WAYS if way not in args.without]
        found = {way: measure(way, folder, args.limit_gb) for way in ways}
        (rows,) = duckdb.sql(f"SELECT count(*) FROM '{folder / 'engine' / DATA}'").fetchall()[0]
        if "pandas" in ways:
            assert _rejects(folder / "pandas.csv") == _rejects(folder / "engine" / REJECTS)
            same = duckdb.sql(f"SELECT count(*) FROM '{folder / 'pandas.parquet'}'").fetchall()[0]
            assert same == (rows,), (same, rows)
        result = {
            "rows": args.rows,
            "left_out": args.rows - rows,
            "mb": (folder / "export.csv").stat().st_size / 1e6,
            **{f"{way}_seconds": round(one["seconds"], 2) for way, one in found.items()},
            **{f"{way}_cpu_seconds": round(one["cpu"], 2) for way, one in found.items()},
            "peak_rss_mb": round(found["engine"]["peak_rss_mb"]),
            "limit_gb": args.limit_gb,
            **scan(folder),
        }
        if "copy" in ways:
            result["ratio_vs_copy"] = round(found["engine"]["seconds"] / found["copy"]["seconds"], 2)
            result["cpu_ratio_vs_copy"] = round(found["engine"]["cpu"] / found["copy"]["cpu"], 2)
        if "pandas" in ways:
            result["speedup_vs_pandas"] = round(found["pandas"]["seconds"] / found["engine"]["seconds"], 2)
            result["cpu_speedup_vs_pandas"] = round(found["pandas"]["cpu"] / found["engine"]["cpu"], 2)
    print(json.dumps(result) if args.json else "\n".join(f"{name:<22}{value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
