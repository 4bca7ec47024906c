"""``node.toml``: what a node holds and what it allows. Nothing that is not written here is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from datalab.boundary import bad_field, read_toml
from datalab.errors import BadInputError, NotFoundError
from datalab.permits.claims import Purpose
from federation.run import Digest, Slug
from federation.wire.channel import Proxy


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SiteDataset(_Model):
    """A dataset that this node may train on.

    Attributes:
        id: its id in the catalog.
        version: the version announced.
        source: the raw file as exported, below the node's home, curated here by ``contract``;
            or ``lab``: a version published in the lab's storage (the lab's own compute nodes).
        contract: the data contract, below the node's home (for a raw file).
    """

    id: Slug
    version: int = Field(default=1, ge=1)
    source: str
    contract: str | None = None

    @property
    def in_lab(self) -> bool:
        """Whether the lab holds the data."""
        return self.source == "lab"


class AllowedApp(_Model):
    """An app that may run here: its bundle's digest, and the kinds of message it may be sent."""

    sha256: Digest
    actions: frozenset[Literal["train", "evaluate", "query"]] = frozenset({"train", "evaluate", "query"})


class Policy(_Model):
    """What is allowed; empty lists allow nothing.

    Attributes:
        apps: apps that were read and approved here.
        purposes: purposes under EHDS Art. 53(1) that this holder serves.
        permit_keys: public keys (JWK files below the home) of the bodies whose permits count here.
        revocations: file with the access body's signed list of revoked permits, below the home; where one is named,
            a run is refused if the list is missing, or older than ``revocations_days``.
        revocations_days: how old the list may be.
        minimum_rows: fewest rows that a dataset must have to be trained on.
        sandbox: ``bubblewrap``, or ``none`` where the operator accepts foreign code without one.
    """

    apps: tuple[AllowedApp, ...] = ()
    purposes: frozenset[Purpose] = frozenset()
    permit_keys: tuple[str, ...] = ()
    revocations: str | None = None
    revocations_days: int = Field(default=7, ge=1)
    minimum_rows: int = Field(default=50, ge=1)
    sandbox: Literal["bubblewrap", "none"] = "bubblewrap"


class Resources(_Model):
    """Limits.

    Attributes:
        memory_bytes: of one worker: all its processes together, and each of them.
        processes: of one worker, threads included.
        cpu_seconds: processor time of one worker in a whole run.
        disk_bytes: what one worker may leave to be sent at any one time.
        task_seconds: longest time that one task may take.
        concurrent_runs: how many runs may have a worker at the same time.
    """

    memory_bytes: int = Field(default=2 << 30, ge=256 << 20)
    processes: int = Field(default=64, ge=4)
    cpu_seconds: int = Field(default=86_400, ge=1)
    disk_bytes: int = Field(default=16 << 30, ge=1 << 20)
    task_seconds: float = Field(default=600.0, gt=0)
    concurrent_runs: int = Field(default=4, ge=1)


class Gateway(_Model):
    """The way to the gateway, whose address the node learned when it enrolled.

    Attributes:
        proxy: an HTTP proxy that lets the node out, ``http://host:port``.
        proxy_credentials: file below the home, readable by its owner only, with ``user:password`` for the proxy.
    """

    proxy: Annotated[str, Field(pattern=r"^http://[A-Za-z0-9.-]+:[0-9]{1,5}/?$")] | None = None
    proxy_credentials: str | None = None


class NodeConfig(_Model):
    """The whole of ``node.toml``.

    Attributes:
        gateway: the way to the gateway.
        lab_home: on a compute node of the lab, the lab's home, through which it reads published data.
    """

    lab_home: str | None = None
    datasets: tuple[SiteDataset, ...] = ()
    policy: Policy = Policy()
    gateway: Gateway = Gateway()
    resources: Resources = Resources()


def load_config(home: Path) -> NodeConfig:
    """Read ``node.toml`` in the node's home.

    Raises:
        NotFoundError: there is none.
        BadInputError: it is not valid; the message names the field.
    """
    path = home / "node.toml"
    try:
        return NodeConfig.model_validate(read_toml(path))
    except FileNotFoundError:
        raise NotFoundError(
            f"There is no {path}.", next_step="Write one: README, “Hospital IT”, shows what belongs in it."
        ) from None
    except ValidationError as error:
        raise bad_field("node.toml", error, where=str(path)) from error


def load_proxy(home: Path, gateway: Gateway) -> Proxy | None:
    """Return the proxy of ``node.toml`` with its credentials, or None.

    Raises:
        NotFoundError: the file with the credentials cannot be read.
        BadInputError: it is readable by others than its owner, or does not hold user and password.
    """
    if gateway.proxy is None:
        return None
    host, _, port = gateway.proxy.removeprefix("http://").rstrip("/").rpartition(":")
    if gateway.proxy_credentials is None:
        return Proxy(host, int(port))
    path = home / gateway.proxy_credentials
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise NotFoundError(
            f"The proxy's credentials cannot be read: {error.strerror}.",
            where=str(path),
            next_step="Correct gateway.proxy_credentials in node.toml.",
        ) from error
    if mode & 0o077:
        raise BadInputError(
            "Others than its owner can read the proxy's credentials.", where=str(path), next_step=f"chmod 600 {path}"
        )
    if ":" not in text or "\n" in text:
        raise BadInputError("The proxy's credentials must be one line, user:password.", where=str(path))
    return Proxy(host, int(port), text)
