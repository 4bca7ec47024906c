"""Adds a dataset to a node: its file curated here, by the engine and the contract that the lab would use."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

from pydantic import ValidationError

from datalab.boundary import bad_field
from datalab.curation.contract import load_contract
from datalab.curation.report import CurationReport
from datalab.errors import BadInputError, NotFoundError
from datalab.home import Home, write_atomically
from federation.node.config import NodeConfig, SiteDataset, load_config
from federation.node.holdings import dataset_folder, keep_summary
from federation.node.prepare import prepare


def add_dataset(home: Home, dataset: str, raw: Path, contract: Path, *, privacy_budget: float | None) -> CurationReport:
    """Curate a raw file as version 1 of a dataset, then write the dataset into ``node.toml``.

    Nothing is added before the file was curated. The contract is copied into the home; the raw file stays where it is.

    Args:
        home: of the node.
        dataset: its id in the catalog.
        raw: below the home.
        contract: anywhere.
        privacy_budget: the epsilon that all runs together may spend on it.

    Raises:
        NotFoundError: there is no ``node.toml``, raw file or contract.
        BadInputError: the dataset is there already, the file lies elsewhere, or it or the contract is not usable.
    """
    config = load_config(home.path)
    if dataset in {entry.id for entry in config.datasets}:
        raise BadInputError(
            f"The dataset {dataset} is in node.toml already.",
            where=str(home.path / "node.toml"),
            next_step="A file or contract that has changed is written there, with `version` one higher.",
        )
    if not raw.is_file():
        raise NotFoundError(f"There is no raw file {raw}.", next_step="Name the file as it was exported.")
    source = _below(home.path, raw)
    load_contract(contract)
    kept = Path("contracts") / f"{dataset}.odcs.yaml"
    entry, text = _entry(home.path, dataset, source, kept, privacy_budget)
    target = home.folder("contracts") / kept.name
    if not (target.exists() and target.samefile(contract)):
        shutil.copyfile(contract, target)
    folder = dataset_folder(home, entry)
    keep_summary(folder, prepare(home, config, entry))
    write_atomically(home.path / "node.toml", text.encode())
    return CurationReport.model_validate_json((folder / "report.json").read_bytes())


def _below(home: Path, raw: Path) -> str:
    try:
        return str(raw.resolve().relative_to(home.resolve()))
    except ValueError:
        raise BadInputError(
            f"The raw file {raw} lies outside of the node's home.",
            where=str(home),
            next_step="Put it below the home, where the node may read it and nobody else, and name it there.",
        ) from None


def _entry(
    home: Path, dataset: str, source: str, contract: Path, privacy_budget: float | None
) -> tuple[SiteDataset, str]:
    """Return the new entry, and the text of ``node.toml`` with it, which is valid as a whole."""
    said: dict[str, str | float] = {"id": dataset, "source": source, "contract": str(contract)}
    if privacy_budget is not None:
        said["privacy_budget"] = privacy_budget
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in said.items()]
    before = (home / "node.toml").read_text(encoding="utf-8").rstrip("\n")
    text = "\n".join([before, "", "[[datasets]]", *lines]).lstrip("\n") + "\n"
    try:
        config = NodeConfig.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise bad_field("node.toml", error, where=str(home / "node.toml")) from error
    except tomllib.TOMLDecodeError as error:
        raise BadInputError(
            f"The dataset cannot be written at the end of node.toml: {error}.",
            where=str(home / "node.toml"),
            next_step="Write each dataset there as a [[datasets]] of its own.",
        ) from error
    return config.datasets[-1], text
