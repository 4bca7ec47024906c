"""Settings of one home: ``datalab.toml`` < environment (``DATALAB_…``) < arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
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


class Certificates(BaseModel):
    """How long certificates are good for; their holders renew them at two thirds of that."""

    model_config = ConfigDict(extra="forbid")

    hours: Annotated[float, Field(gt=0, le=90 * 24)] = 7 * 24
    """Of a node, a gateway or a runner."""


class Checkpoints(BaseModel):
    """Signed heads of the audit chain, for whoever wants to prove that the chain was not rewritten."""

    model_config = ConfigDict(extra="forbid")

    folder: Path | None = None
    """Where they go: a folder of another machine's, such as a mount that only takes new files. None: nowhere."""
    minutes: Annotated[float, Field(gt=0, le=7 * 24 * 60)] = 60
    """How often."""


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
    ports: Ports = Ports()
    certificates: Certificates = Certificates()
    checkpoints: Checkpoints = Checkpoints()


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
