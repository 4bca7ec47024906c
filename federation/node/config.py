"""``node.toml``: what a node holds and what it allows. Nothing that is not written here is allowed."""

from __future__ import annotations

from datetime import UTC, datetime, time, tzinfo
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from datalab.boundary import bad_field, read_toml
from datalab.errors import BadInputError, NotFoundError
from datalab.permits.claims import Purpose
from federation.run import Digest, Slug
from federation.setting import Setting as Setting  # noqa: PLC0414 - handed on
from federation.wire.channel import Proxy
from federation.wire.protocol import KEEPALIVE_SECONDS

DATASET_KEY = "dataset"
"""Under which an app finds the file of its run's dataset in ``Context.node_config``."""
_HOURS = r"^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class S3Source(_Model):
    """Where the object store of a dataset's source is, and how to sign in.

    Attributes:
        endpoint: its address; without TLS on this machine only.
        credentials: file below the home, readable by its owner only, with ``access-key:secret-key``.
        region: as the store calls it.
        ca: certificates (PEM, below the home) by which the store is known where no public authority vouches for it.
    """

    endpoint: Annotated[
        str, Field(pattern=r"^(https://[A-Za-z0-9.-]+|http://(127\.0\.0\.1|localhost))(:[0-9]{1,5})?/?$")
    ]
    credentials: str
    region: str = "us-east-1"
    ca: str | None = None


class SiteDataset(_Model):
    """A dataset that this node may train on.

    Attributes:
        id: its id in the catalog.
        version: the version announced.
        source: the raw file as exported, below the node's home, curated here by ``contract``; or ``s3://bucket/key``, a
            raw file in the holder's own object store; or ``lab``: a version published in the lab's storage (the lab's
            own compute nodes).
        contract: the data contract, below the node's home (for a raw file).
        s3: the object store, for a source in one.
        privacy_budget: the epsilon that all runs together may spend on this dataset, whatever its version.
    """

    id: Slug
    version: int = Field(default=1, ge=1)
    source: str
    contract: str | None = None
    s3: S3Source | None = None
    privacy_budget: float | None = Field(default=None, ge=0, allow_inf_nan=False)

    @property
    def in_lab(self) -> bool:
        """Whether the lab holds the data."""
        return self.source == "lab"

    @property
    def in_s3(self) -> bool:
        """Whether the raw file is in an object store."""
        return self.source.startswith("s3://")

    @model_validator(mode="after")
    def _says_where(self) -> Self:
        if self.in_s3 is (self.s3 is None):
            raise ValueError(
                "a source s3://bucket/key needs `s3` with endpoint and credentials, and no other source does"
            )
        if self.in_s3 and not all(self.source.removeprefix("s3://").partition("/")[::2]):
            raise ValueError("an S3 source is written s3://bucket/key")
        return self


class Rule(_Model):
    """How far an app may go here.

    Attributes:
        actions: the kinds of message that it may be sent.
        config: what its settings may be. A setting that is not named here may not be set; without any ``config``, all
            may be, to anything.
    """

    actions: frozenset[Literal["train", "evaluate", "query"]] = frozenset({"train", "evaluate", "query"})
    config: dict[str, Setting] | None = None


class AllowedApp(Rule):
    """An app that may run here: its bundle's digest, and how far it may go."""

    sha256: Digest


class Signer(Rule):
    """Somebody whose apps may run here: a public key (JWK file below the home), and how far those apps may go."""

    key: str


class Privacy(_Model):
    """How a run declares what it spends of the privacy budgets.

    Attributes:
        setting: the setting of the app that says the epsilon of the whole run.
        required: whether a run that declares none is refused; otherwise it costs nothing.
    """

    setting: str = "privacy-epsilon"
    required: bool = False


class Policy(_Model):
    """What is allowed; empty lists allow nothing.

    Attributes:
        apps: apps that were read and approved here; those of ``datalab node approve`` count as well.
        signers: whose apps may run here although nobody here has approved each of them.
        purposes: purposes under EHDS Art. 53(1) that this holder serves.
        permit_keys: public keys (JWK files below the home) of the bodies whose permits count here.
        revocations: file with signed lists of revoked permits, one a line, below the home; where one is named, a run is
            refused if the newest list by the key that has signed its permit, in the file or sent by the gateway, is
            older than ``revocations_days``, or if there is none. A permit on a list that was sent is refused anyway.
        revocations_days: how old that list may be.
        users: data users, as permits name them, that may use data here; left out: whoever has a permit.
        projects: projects, as permits name them, that may use data here; left out: any with a permit.
        minimum_rows: fewest rows that a dataset must have to be trained on.
        maximum_runs_a_day: how many runs may be accepted from midnight to midnight; left out: any number.
        hours: when runs are accepted and tasks carried out, such as ``08:00-18:00``; left out: always.
        time_zone: of hours and days (IANA, such as ``Europe/Amsterdam``).
        privacy: how a run declares what it spends of the datasets' privacy budgets.
        sandbox: ``bubblewrap``, or ``none`` where the operator accepts foreign code without one.
    """

    apps: tuple[AllowedApp, ...] = ()
    signers: tuple[Signer, ...] = ()
    purposes: frozenset[Purpose] = frozenset()
    permit_keys: tuple[str, ...] = ()
    revocations: str | None = None
    revocations_days: int = Field(default=7, ge=1)
    users: frozenset[str] | None = None
    projects: frozenset[str] | None = None
    minimum_rows: int = Field(default=50, ge=1)
    maximum_runs_a_day: int | None = Field(default=None, ge=0)
    hours: Annotated[str, Field(pattern=_HOURS)] | None = None
    time_zone: str = "UTC"
    privacy: Privacy = Privacy()
    sandbox: Literal["bubblewrap", "none"] = "bubblewrap"

    @field_validator("hours")
    @classmethod
    def _have_a_length(cls, hours: str | None) -> str | None:
        if hours is not None and hours[:5] == hours[6:]:
            raise ValueError("the hours end when they begin; leave them out for always")
        return hours

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            _zone(name)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError("this machine knows no time zone of that name") from error
        return name

    @property
    def zone(self) -> tzinfo:
        """The time zone of hours and days."""
        return _zone(self.time_zone)

    def open_at(self, now: datetime) -> bool:
        """Whether ``now`` is within the hours; hours that end before they begin go over midnight."""
        if self.hours is None:
            return True
        begin, end = (time.fromisoformat(one) for one in self.hours.split("-"))
        at = now.astimezone(self.zone).time()
        return begin <= at < end if begin < end else at >= begin or at < end


class Resources(_Model):
    """Limits.

    Attributes:
        memory_bytes: of one worker: all its processes together, and each of them.
        processes: of one worker, threads included.
        cpu_seconds: processor time of one worker in a whole run.
        disk_bytes: what one worker may leave to be sent at any one time.
        task_seconds: longest time that one task may take.
        concurrent_runs: how many runs may have a worker at the same time.
        cache_bytes: models that are kept for each run, so that they need not be sent again; those in use come on top.
    """

    memory_bytes: int = Field(default=2 << 30, ge=256 << 20)
    processes: int = Field(default=64, ge=4)
    cpu_seconds: int = Field(default=86_400, ge=1)
    disk_bytes: int = Field(default=16 << 30, ge=1 << 20)
    task_seconds: float = Field(default=600.0, gt=0)
    concurrent_runs: int = Field(default=4, ge=1, le=64)
    cache_bytes: int = Field(default=2 << 30, ge=0)


class Gateway(_Model):
    """The way to the gateway, whose address the node learned when it enrolled.

    Attributes:
        proxy: an HTTP proxy that lets the node out, ``http://host:port``.
        proxy_credentials: file below the home, readable by its owner only, with ``user:password`` for the proxy.
        keepalive_seconds: silence after which the connection is probed, for a gateway of a version that does not say by
            itself that it is there; less than what the firewall or NAT on the way forgets a connection after.
    """

    proxy: Annotated[str, Field(pattern=r"^http://[A-Za-z0-9.-]+:[0-9]{1,5}/?$")] | None = None
    proxy_credentials: str | None = None
    keepalive_seconds: float = Field(default=KEEPALIVE_SECONDS, ge=10, le=300)


class Metrics(_Model):
    """Figures for Prometheus.

    Attributes:
        port: on which the agent tells them, to this machine alone (127.0.0.1); left out: it does not.
    """

    port: int | None = Field(default=None, ge=0, le=65535)


class NodeConfig(_Model):
    """The whole of ``node.toml``.

    Attributes:
        gateway: the way to the gateway.
        lab_home: on a compute node of the lab, the lab's home, through which it reads published data.
        opt_outs: file below the home with the pseudonyms of people who have opted out, one a line. They are left out of
            every curation here, and out of what was curated before; it is read again before each run.
        node_config: what apps find in ``Context.node_config`` beside the ``dataset`` of their run, as by a SuperNode's
            ``--node-config``. Flower's examples look there for ``partition-id`` and ``num-partitions``.
    """

    lab_home: str | None = None
    opt_outs: str | None = None
    node_config: dict[str, bool | int | float | str] = Field(default_factory=dict, max_length=64)
    datasets: tuple[SiteDataset, ...] = ()
    policy: Policy = Policy()
    gateway: Gateway = Gateway()
    resources: Resources = Resources()
    metrics: Metrics = Metrics()

    @field_validator("node_config")
    @classmethod
    def _leaves_the_dataset_alone(
        cls, config: dict[str, bool | int | float | str]
    ) -> dict[str, bool | int | float | str]:
        if DATASET_KEY in config:
            raise ValueError(f"{DATASET_KEY} is where the dataset of a run is; give the setting another name")
        return config


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
    text = load_secret_pair(home / gateway.proxy_credentials, "user:password", "gateway.proxy_credentials")
    return Proxy(host, int(port), text)


def load_secret_pair(path: Path, form: str, field: str) -> str:
    """Return the one line of a file with credentials.

    Args:
        path: the file.
        form: what must be in it, two parts with a colon between them.
        field: of ``node.toml`` that names the file.

    Raises:
        NotFoundError: it cannot be read.
        BadInputError: it is readable by others than its owner, or does not have that form.
    """
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise NotFoundError(
            f"The credentials {form} cannot be read: {error.strerror}.",
            where=str(path),
            next_step=f"Correct {field} in node.toml.",
        ) from error
    if mode & 0o077:
        raise BadInputError(
            f"Others than its owner can read the credentials {form}.", where=str(path), next_step=f"chmod 600 {path}"
        )
    if ":" not in text or "\n" in text:
        raise BadInputError(f"The credentials must be one line, {form}.", where=str(path))
    return text


def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)
