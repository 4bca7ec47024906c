"""``python -m federation.node.prepare``: makes one dataset of a node ready; prints its rows and public report."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from datalab.canonical import sha256_file
from datalab.errors import BadInputError, DatalabError, NotFoundError
from datalab.home import Home, sync_folder, write_atomically
from federation.node.config import NodeConfig, SiteDataset, load_config
from federation.node.holdings import dataset_folder
from federation.node.optout import PSEUDONYMS, leaving_out_too, listed, pseudonyms_of, read_opt_outs, state
from federation.node.published import lab_of, published_file
from federation.node.s3 import fetch

if TYPE_CHECKING:
    from datalab.curation.key import PseudonymKey
    from datalab.curation.optout import OptOuts
    from datalab.curation.report import CurationReport

_TOLD = "told.json"
"""What is told of a table from which people were taken."""


def main() -> None:
    """Prepare the dataset named in the arguments; an error is one sentence on stderr and an exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    arguments = parser.parse_args()
    os.umask(0o077)
    home = Home(arguments.home)
    try:
        config = load_config(home.path)
        entry = next(one for one in config.datasets if one.id == arguments.dataset)
        summary = prepare(home, config, entry)
    except DatalabError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    print(summary)  # noqa: T201


def prepare(home: Home, config: NodeConfig, entry: SiteDataset) -> str:
    """Have a dataset's table lie ready; return, as JSON, its rows, what is told of it, and a digest of who is left out.

    Raises:
        DatalabError: the file, the contract or the list of who has opted out is not usable, or the lab does not answer.
    """
    people = read_opt_outs(home, config)
    rows, public = _from_lab(home, config, entry) if entry.in_lab else _on_site(home, config, entry, people)
    left_out = sha256_file(dataset_folder(home, entry) / "data.parquet") if entry.in_lab else state(people)
    return json.dumps({"rows": rows, "public": public, "left_out": left_out})


def _on_site(home: Home, config: NodeConfig, entry: SiteDataset, people: OptOuts) -> tuple[int, str]:
    """Curate a raw file here by its contract, unless that was done before with the same file and contract.

    Whoever is to be left out is, also of what was curated before; that is then told with the counts of before.
    """
    from datalab.curation.contract import load_contract
    from datalab.curation.engine import curate
    from datalab.curation.report import CurationReport

    if entry.contract is None:
        raise BadInputError(f"The dataset {entry.id} has no contract in node.toml.", where=str(home.path / "node.toml"))
    contract = load_contract(home.path / entry.contract)
    folder = dataset_folder(home, entry)
    curated = (folder / "data.parquet").is_file()
    raw: Path | None = home.path / entry.source
    if entry.in_s3:  # a version never changes: what it was curated from is not asked for again
        raw = None if curated else fetch(home, entry)
    if raw is not None and not raw.is_file():
        raise NotFoundError(
            f"The raw file of {entry.id} is not there.",
            where=str(raw),
            next_step=f"Put it there, or correct `source` under its [[datasets]] in {home.path / 'node.toml'}.",
        )
    if curated:
        report = CurationReport.model_validate_json((folder / "report.json").read_bytes())
        raw_sha256 = report.raw_sha256 if raw is None else sha256_file(raw)
        if (report.raw_sha256, report.contract_digest) != (raw_sha256, contract.digest):
            raise BadInputError(
                f"The raw file or the contract of {entry.id} has changed since version {entry.version} was curated.",
                where=str(home.path / "node.toml"),
                next_step=f"Write `version = {entry.version + 1}` under its [[datasets]]: a version never changes.",
            )
        people = leaving_out_too(people, pseudonyms_of(home, contract, listed(home, config)))
        report, told = _without(folder, report, people)
    else:
        assert raw is not None
        folder.mkdir(parents=True, exist_ok=True)
        report = curate(contract, raw, folder, key=_key(home) if contract.export.person else None, opt_outs=people)
        told = report.public()
    assert report.rows is not None
    return report.rows, told.model_dump_json()


def _without(folder: Path, report: CurationReport, people: OptOuts) -> tuple[CurationReport, CurationReport]:
    """Take people out of a curated table; return its report, and what is told of it.

    The report is written before the table is replaced: where a crash comes between, the people are found again.
    """
    from datalab.curation.again import count_again, told_again, write_without
    from datalab.curation.database import connect, literal
    from datalab.curation.engine import DATA, REPORT
    from datalab.curation.report import CurationReport

    told_file = folder / _TOLD
    told = CurationReport.model_validate_json(told_file.read_bytes()) if told_file.exists() else report.public()
    data, anew = folder / DATA, folder / f".{DATA}.new"
    if report.pseudonym is None or not people.marks:
        return report, told
    with connect(folder) as database:
        if not write_without(database, f"read_parquet({literal(str(data))})", str(anew), report.pseudonym, people):
            return report, told
        after = count_again(
            database,
            f"read_parquet({literal(str(anew))})",
            report,
            parquet_sha256=sha256_file(anew),
            parquet_bytes=anew.stat().st_size,
        )
    told = told_again(told, report, after)
    write_atomically(told_file, (told.model_dump_json(indent=2) + "\n").encode())
    write_atomically(folder / REPORT, (after.model_dump_json(indent=2) + "\n").encode())
    anew.replace(data)
    sync_folder(folder)
    return after, told


def _key(home: Home) -> PseudonymKey:
    """Return the node's own key for pseudonyms, made when it is first needed."""
    from datalab.curation.key import load_key, make_key

    path = home.folder("secrets") / PSEUDONYMS
    if not path.exists():
        make_key(path)
    return load_key(path)


def _from_lab(home: Home, config: NodeConfig, entry: SiteDataset) -> tuple[int, str]:
    """Fetch a published version from the lab's storage, and verify it against the catalog's digests."""
    import duckdb

    from datalab.storage.store import connect

    file = published_file(home, config, entry)
    folder = dataset_folder(home, entry)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    connect(lab_of(home, config), "compute").get_file(file["key"], folder / "data.parquet")
    if sha256_file(folder / "data.parquet") != file["sha256"]:
        raise BadInputError(f"The file of {entry.id} in storage does not have the digest that the catalog names.")
    (rows,) = duckdb.execute("SELECT count(*) FROM read_parquet(?)", [str(folder / "data.parquet")]).fetchall()[0]
    return int(rows), ""


if __name__ == "__main__":
    main()
