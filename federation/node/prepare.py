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
from datalab.errors import BadInputError, DatalabError, NotFoundError, ServiceFailedError
from datalab.home import Home
from federation.node.config import NodeConfig, SiteDataset, load_config
from federation.node.holdings import dataset_folder
from federation.node.s3 import fetch

if TYPE_CHECKING:
    from datalab.curation.key import PseudonymKey


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
        rows, public = _from_lab(home, config, entry) if entry.in_lab else prepare_on_site(home, entry)
    except DatalabError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    print(json.dumps({"rows": rows, "public": public}))  # noqa: T201


def prepare_on_site(home: Home, entry: SiteDataset) -> tuple[int, str]:
    """Curate a raw file here by its contract, unless that was done before with the same file and contract."""
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
        raise NotFoundError(f"The raw file of {entry.id} is not there.", where=str(raw))
    if curated:
        report = CurationReport.model_validate_json((folder / "report.json").read_bytes())
        raw_sha256 = report.raw_sha256 if raw is None else sha256_file(raw)
        if (report.raw_sha256, report.contract_digest) != (raw_sha256, contract.digest):
            raise BadInputError(
                f"The raw file or the contract of {entry.id} has changed since version {entry.version} was curated.",
                where=str(home.path / "node.toml"),
                next_step=f"Write `version = {entry.version + 1}` under its [[datasets]]: a version never changes.",
            )
    else:
        assert raw is not None
        folder.mkdir(parents=True, exist_ok=True)
        report = curate(contract, raw, folder, key=_key(home) if contract.export.person else None)
    assert report.rows is not None
    return report.rows, report.public().model_dump_json()


def _key(home: Home) -> PseudonymKey:
    """Return the node's own key for pseudonyms, made when it is first needed."""
    from datalab.curation.key import load_key, make_key

    path = home.folder("secrets") / "pseudonyms.key"
    if not path.exists():
        make_key(path)
    return load_key(path)


def _from_lab(home: Home, config: NodeConfig, entry: SiteDataset) -> tuple[int, str]:
    """Fetch a published version from the lab's storage, and verify it against the catalog's digests."""
    import httpx

    from datalab.storage.store import connect

    if config.lab_home is None:
        raise BadInputError("A dataset held in the lab needs lab_home in node.toml.", where=str(home.path))
    lab = Home(Path(config.lab_home))
    try:
        response = httpx.get(
            f"{lab.address('lab')['url']}/api/v1/datasets/{entry.id}/versions/{entry.version}/files",
            headers={"Authorization": f"Bearer {lab.secret('token-compute')}"},
            trust_env=False,
        )
    except httpx.TransportError as error:
        raise ServiceFailedError("The lab server does not answer.", where=str(lab.path)) from error
    if response.status_code != httpx.codes.OK:
        raise NotFoundError(
            f"The lab does not give {entry.id} version {entry.version} to this node (HTTP {response.status_code}).",
            next_step="Is the version published?",
        )
    files = response.json()
    if len(files) != 1:
        raise BadInputError(f"{entry.id} version {entry.version} has {len(files)} files; a node reads one.")
    (file,) = files
    folder = dataset_folder(home, entry)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    connect(lab, "compute").get_file(file["key"], folder / "data.parquet")
    if sha256_file(folder / "data.parquet") != file["sha256"]:
        raise BadInputError(f"The file of {entry.id} in storage does not have the digest that the catalog names.")
    import duckdb

    (rows,) = duckdb.execute("SELECT count(*) FROM read_parquet(?)", [str(folder / "data.parquet")]).fetchall()[0]
    return int(rows), ""


if __name__ == "__main__":
    main()
