"""Settings of one home: ``datalab.toml`` < environment (``DATALAB_…``) < arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from datalab.boundary import bad_field
from datalab.home import Home

Port = Annotated[int, Field(ge=0, le=65535)]


class Ports(BaseModel):
    """TCP ports of the services; 0 takes any free one, which the service announces in ``run/``."""

    model_config = ConfigDict(extra="forbid")

    object_store: Port = 8460
    lab: Port = 8440
    gateway: Port = 8443
    enrolment: Port = 8444


class Metrics(BaseModel):
    """On which ports of this machine alone (127.0.0.1) processes tell Prometheus their figures; None: not at all."""

    model_config = ConfigDict(extra="forbid")

    lab: Port | None = None
    gateway: Port | None = None


class Certificates(BaseModel):
    """How long certificates are good for; their holders renew them at two thirds of that."""

    model_config = ConfigDict(extra="forbid")

    hours: Annotated[float, Field(gt=0, le=90 * 24)] = 7 * 24
    """Of a node, a gateway or a runner."""


class OpenIdProvider(BaseModel):
    """An identity provider (OpenID Connect) at which people sign in besides their passwords.

    The lab's secret at the provider, if it has one, is in the file ``secrets/oidc-client-secret`` in the home.
    """

    model_config = ConfigDict(extra="forbid")

    issuer: Annotated[
        str, Field(pattern=r"^(https://[^\s/?#]+|http://(127\.0\.0\.1|localhost)(:[0-9]+)?)(/[^\s?#]*)?$")
    ]
    client_id: Annotated[str, Field(min_length=1, max_length=200)]
    name: Annotated[str, Field(min_length=1, max_length=60)]
    """As people know it; it stands on the button."""
    amr: tuple[str, ...] = ("mfa",)
    """What the provider says (``amr``, RFC 8176) where a second factor was given."""
    acr: tuple[str, ...] = ()
    """The same, as classes of authentication (``acr``)."""


OrganisationClass = Literal["public", "academia", "sme", "industry"]
"""Public body; academia and research; start-up, small or medium-sized company; larger industry."""


class Organisation(BaseModel):
    """An organisation whose people start runs."""

    model_config = ConfigDict(extra="forbid")

    kind: OrganisationClass
    node_hours: Annotated[float, Field(gt=0)] | None = None
    """Quota for each period; none is none."""


class Slurm(BaseModel):
    """Runners and compute nodes as batch jobs of Slurm, whose machines share the file system with the lab's home."""

    model_config = ConfigDict(extra="forbid")

    partition: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] | None = None
    account: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] | None = None


class Kubernetes(BaseModel):
    """Runners and compute nodes as jobs of Kubernetes, whose machines share the file system with the lab's home."""

    model_config = ConfigDict(extra="forbid")

    image: Annotated[str, Field(pattern=r"^[a-z0-9][A-Za-z0-9./:_-]{0,200}@sha256:[0-9a-f]{64}$")]
    """With Datalab (extra ``lab``) and ``python`` on its path; by its digest, so that it is always the same."""
    claim: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
    """Persistent volume claim of the file system that the lab's home is on."""
    folder: Annotated[str, Field(pattern=r"^([A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*)?$")] = ""
    """The lab's home in that volume; left out: it is the volume itself."""
    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")] = "datalab"
    kubeconfig: Path | None = None
    """How kubectl reaches the cluster, and signs in; left out: as it does by itself."""
    context: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,252}$")] | None = None
    user: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    """User id of runners and nodes, whom the lab's files belong to; left out: the lab's, which may not be root."""
    cpu: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}m?$")] = "2"
    memory: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}(Mi|Gi)$")] = "4Gi"
    hours: Annotated[float, Field(gt=0, le=365 * 24)] = 7 * 24
    """After which a job is ended, whatever it does."""
    seccomp: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$")] | None = (
        None
    )
    """Profile on the cluster's nodes that allows the sandbox around ServerApps to be made; left out: their default."""


class Compute(BaseModel):
    """How runs share what there is: places at nodes, of which a run takes one for each node that takes part."""

    model_config = ConfigDict(extra="forbid")

    node_places: Annotated[int, Field(ge=1, le=100_000)] = 16
    """Taken at once by all runs together."""
    node: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")] | None = None
    """The lab's compute node, for datasets in the lab's storage; without one, each run names it."""
    nodes: frozenset[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]] = frozenset()
    """Compute nodes of the lab that it keeps going where runners run; the home of each is ``nodes/NAME`` in its own."""
    shares: dict[OrganisationClass, Annotated[float, Field(gt=0)]] = {
        "public": 0.2,
        "academia": 0.3,
        "sme": 0.3,
        "industry": 0.2,
    }
    sme_floor: Annotated[float, Field(ge=0, le=1)] = 0.15
    """Part of the places that start-ups and SMEs get before anybody else, however much they have used."""
    half_life_hours: Annotated[float, Field(gt=0)] = 12
    """After this time, past use counts half."""
    patience_hours: Annotated[float, Field(ge=0)] = 1
    """For so long smaller runs may go before one that does not fit yet."""
    period_days: Annotated[float, Field(gt=0)] = 30
    """For which quotas hold, counted back from now."""
    slurm: Slurm | None = None
    """Where runners and ``nodes`` run; without it, on the lab's own machine."""
    kubernetes: Kubernetes | None = None
    """The same."""
    organisations: dict[str, Organisation] = {}
    """By the name that accounts have; those that are not named here are industry without a quota."""

    @model_validator(mode="after")
    def _every_class_has_a_share(self) -> Self:
        if len(self.shares) != 4:
            raise ValueError("shares names public, academia, sme and industry")
        if self.sme_floor > self.shares["sme"] / sum(self.shares.values()):
            raise ValueError("sme_floor is more than the share of sme")
        if self.slurm is not None and self.kubernetes is not None:
            raise ValueError("runners are jobs of slurm or of kubernetes")
        return self

    def organisation(self, name: str) -> Organisation:
        """Return an organisation's class and quota."""
        return self.organisations.get(name, Organisation(kind="industry"))


class Checkpoints(BaseModel):
    """Signed heads of the audit chain, for whoever wants to prove that the chain was not rewritten."""

    model_config = ConfigDict(extra="forbid")

    folder: Path | None = None
    """Where they go: a folder of another machine's, such as a mount that only takes new files. None: nowhere."""
    bucket: Annotated[str, Field(pattern=r"^s3://[a-z0-9.-]{3,63}(/[A-Za-z0-9._/-]*)?$")] | None = None
    """Where they go besides, or instead: ``s3://bucket/prefix`` of somebody else's; let it have object locks.

    Its credentials, ``access-key:secret-key``, are in the file ``secrets/checkpoint-store`` in the home.
    """
    endpoint: (
        Annotated[str, Field(pattern=r"^(https://[A-Za-z0-9.-]+|http://(127\.0\.0\.1|localhost))(:[0-9]{1,5})?/?$")]
        | None
    ) = None
    """Of the object store that has the bucket; without TLS on this machine only."""
    region: str = "us-east-1"
    minutes: Annotated[float, Field(gt=0, le=7 * 24 * 60)] = 60
    """How often."""

    @model_validator(mode="after")
    def _bucket_has_an_endpoint(self) -> Self:
        if (self.bucket is None) is not (self.endpoint is None):
            raise ValueError("bucket and endpoint of checkpoints go together")
        return self


class Tracking(BaseModel):
    """Copies of runs for a tracking server, as they go on; of what needs a release, after it. None without one."""

    model_config = ConfigDict(extra="forbid")

    mlflow: (
        Annotated[
            str, Field(pattern=r"^(https://[A-Za-z0-9.-]+|http://(127\.0\.0\.1|localhost))(:[0-9]{1,5})?(/[^\s?#]*)?$")
        ]
        | None
    ) = None
    """Address of an MLflow server; without TLS on this machine only.

    What it asks for, ``user:password`` or a token, is in the file ``secrets/mlflow`` in the home.
    """
    every: Annotated[float, Field(gt=0, le=3600)] = 5
    """Seconds between two looks at what has come."""


class Backups(BaseModel):
    """Backups that the lab takes by itself."""

    model_config = ConfigDict(extra="forbid")

    folder: Path | None = None
    """Where they go: a folder of another machine's. None: nowhere, and `datalab backup` takes them."""
    every: Annotated[float, Field(gt=0, le=60)] = 20
    """Seconds after which changes are there at the latest."""
    hours: Annotated[float, Field(gt=0)] = 24
    """After which a new one is begun; one is begun earlier whenever data has come in or gone."""
    key: Path | None = None
    """Public key of the lab whose backups may be restored into this home, where `datalab restore` names none."""


class Retention(BaseModel):
    """How long the lab keeps what a dataset's own retention says nothing of; each hour, what is older is removed."""

    model_config = ConfigDict(extra="forbid")

    uploads_days: Annotated[float, Field(gt=0)] | None = None
    """Raw files; None: as long as their dataset."""
    rejects_days: Annotated[float, Field(gt=0)] = 90
    """Rejects and reports of curation runs."""
    artifacts_days: Annotated[float, Field(gt=0)] | None = None
    """What runs leave behind; None: for good."""


class Harvesting(BaseModel):
    """Other catalogues, whose datasets are found here: what may be fetched from, and how much may go at once."""

    model_config = ConfigDict(extra="forbid")

    hosts: tuple[Annotated[str, Field(pattern=r"^[a-z0-9.:-]{1,253}$")], ...] = ()
    """Names of hosts in networks that are not public; all others have to have public addresses."""
    loopback: bool = False
    """Whether catalogues on this machine may be fetched from, by http too."""
    removals: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of a catalogue's entries that may go at once; where more are gone, somebody has to say so."""


class Settings(BaseSettings):
    """What an operator may set for one home. In the environment: ``DATALAB_PORTS__LAB=8440``."""

    model_config = SettingsConfigDict(env_prefix="DATALAB_", env_nested_delimiter="__", extra="forbid")

    bind: str = "127.0.0.1"
    federation: str = "datalab.local"
    """Trust domain of the federation: the host part of every identity, ``spiffe://<federation>/…``."""
    public_url: Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.:\[\]-]+$")] | None = None
    """Where others reach the lab server, if a proxy stands before it: ``https://lab.example.eu``, without a path.

    The names of datasets in exports begin with it, so keep it.
    """
    proxies: tuple[IPvAnyNetwork, ...] = ()
    """Addresses or networks of the proxies before the lab server, whose ``X-Forwarded-For`` is believed.

    Without them, who asks too often or guesses passwords is told apart by account alone: all come from the proxy.
    """
    ports: Ports = Ports()
    metrics: Metrics = Metrics()
    certificates: Certificates = Certificates()
    oidc: OpenIdProvider | None = None
    compute: Compute = Compute()
    checkpoints: Checkpoints = Checkpoints()
    retention: Retention = Retention()
    backup: Backups = Backups()
    tracking: Tracking = Tracking()
    harvest: Harvesting = Harvesting()


def load_settings(home: Home, **arguments: Any) -> Settings:
    """Read the settings of ``home``.

    Raises:
        BadInputError: a value in ``datalab.toml``, the environment or the arguments is not valid.
    """

    class _HomeSettings(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del dotenv_settings, file_secret_settings
            toml = TomlConfigSettingsSource(settings_cls, toml_file=home.path / "datalab.toml")
            return init_settings, env_settings, toml

    try:
        return _HomeSettings(**arguments)
    except ValidationError as error:
        raise bad_field(
            "A setting",
            error,
            where=str(home.path / "datalab.toml"),
            next_step="Correct it in the file, or in the environment variable DATALAB_….",
        ) from error
