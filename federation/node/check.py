"""Says for a given run what each clause of this node's policy makes of it, without an agent and without running it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from datalab.boundary import bad_field, read_toml
from datalab.errors import BadInputError, NotFoundError
from datalab.home import Home
from federation.bundle import check_config
from federation.node.approvals import Candidate
from federation.node.config import load_config
from federation.node.facts import Keys, gather
from federation.node.holdings import read_holdings
from federation.node.ledger import read_spendings
from federation.node.policy import Asked, Clause, explain
from federation.pki.keys import Credentials
from federation.run import ConfigValue, RunFolder, RunPlace, Slug


class Description(BaseModel):
    """A run, described in a TOML or JSON file; other files are named as seen from there.

    Attributes:
        app: the app's folder, or its bundle.
        app_signature: file from ``datalab app sign``.
        dataset: that the run would work on here.
        version: of the dataset.
        purpose: letter of EHDS Art. 53(1).
        permit: file with the signed data permit.
        config: the app's settings, over its own defaults.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    app: str
    app_signature: str | None = None
    dataset: Slug
    version: int = Field(default=1, ge=1)
    purpose: str = Field(max_length=20)
    permit: str
    config: dict[str, ConfigValue] = Field(default_factory=dict)


def described_in(path: Path) -> Asked:
    """Return the run that a file describes.

    Raises:
        NotFoundError: the file, or one that it names, cannot be read.
        BadInputError: it is not valid; the message names the field.
    """
    try:
        said = (
            Description.model_validate_json(path.read_bytes())
            if path.suffix == ".json"
            else Description.model_validate(read_toml(path))
        )
    except ValidationError as error:
        raise bad_field("The description of the run", error, where=str(path)) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    candidate = Candidate(path.parent / said.app)
    check_config(candidate.app, said.config)
    return Asked(
        app=candidate.sha256,
        dataset=said.dataset,
        version=said.version,
        purpose=said.purpose,
        permit=_text(path.parent / said.permit),
        app_signature=_text(path.parent / said.app_signature) if said.app_signature else "",
        config={**candidate.app.config, **said.config},
    )


def submitted_in(folder: RunFolder, home: Home) -> Asked:
    """Return what a run that was submitted asks of the node with this home.

    Raises:
        NotFoundError: there is no such run, this node has not enrolled, or it has no part in the run.
    """
    try:
        spec = folder.read_spec()
    except OSError as error:
        raise _unreadable(folder.spec, error) from error
    except ValidationError as error:
        raise bad_field("The run", error, where=str(folder.spec)) from error
    name = Credentials.load(home.path / "identity").holder.identity.name
    place: RunPlace | None = next((one for one in spec.places if one.node == name), None)
    if place is None:
        raise NotFoundError(f"The run {spec.id} asks nothing of the node {name}.", where=str(folder.spec))
    candidate = Candidate(folder.bundle)
    if candidate.sha256 != spec.app_sha256:
        raise BadInputError("The run's bundle does not have the digest that the run names.", where=str(folder.bundle))
    return Asked(
        app=spec.app_sha256,
        dataset=place.dataset,
        version=place.version,
        purpose=spec.purpose,
        permit=spec.permit,
        app_signature=spec.app_signature,
        config={**candidate.app.config, **spec.config},
    )


def check(home: Home, asked: Asked) -> list[Clause]:
    """Return what every clause of the node's policy says of a run at this moment.

    Raises:
        DatalabError: ``node.toml``, a key or the ledger cannot be used, or the dataset was never prepared.
    """
    config = load_config(home.path)
    held = read_holdings(home, config)
    known = {(one.id, one.version) for one in config.datasets} - {(one.entry.id, one.entry.version) for one in held}
    if (asked.dataset, asked.version) in known:
        raise NotFoundError(
            f"The dataset {asked.dataset} has not been prepared yet, so its rows are not known.",
            next_step=f"Start the node once: datalab node start --home {home.path}",
        )
    keys = Keys.load(home.path, config.policy)
    return explain(asked, gather(home.path, config, held, keys, read_spendings(home.path), datetime.now(UTC)))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise BadInputError("The file is not what it must be: one line of ASCII text.", where=str(path)) from error


def _unreadable(path: Path, error: OSError) -> NotFoundError:
    return NotFoundError(f"Cannot read {path}: {error.strerror}.")
