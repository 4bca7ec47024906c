"""App bundles: a Flower app's files as one zip, addressed by the SHA-256 of its bytes.

The same files always give the same bytes, so the digest that a hospital approves is the digest of what it read. Bundles
that Flower has made (``flwr build``) are taken as they are, under the digest that Flower gives them.
"""

from __future__ import annotations

import io
import lzma
import tempfile
import tomllib
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from datalab.boundary import bad_field
from datalab.canonical import sha256_hex
from datalab.errors import BadInputError, NotFoundError
from federation.errors import BundleError
from federation.setting import Parameter

MAX_BUNDLE_BYTES = 64 << 20
MAX_UNPACKED_BYTES = 256 << 20
MAX_FILES = 2_000
_EPOCH = (1980, 1, 1, 0, 0, 0)
_LEFT_OUT = frozenset({"__pycache__", ".git", ".venv", "build", "dist"})
_COMPILED = frozenset({".pyc", ".pyo"})


@dataclass(frozen=True)
class App:
    """A Flower app as its ``pyproject.toml`` describes it (``[tool.flwr.app]``).

    Attributes:
        name: the project's name.
        version: the project's version.
        server_app: where the ServerApp is, ``package.module:object``.
        client_app: where the ClientApp is.
        config: default run configuration, flat, keys joined with dots.
        description: what it is for, in a line.
        parameters: what is known of settings beside their defaults (``[tool.datalab.parameters]``).
    """

    name: str
    version: str
    server_app: str
    client_app: str
    config: dict[str, Any]
    description: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


def pack(folder: Path) -> bytes:
    """Return the bundle of the app in ``folder``.

    Raises:
        BundleError: there is no Flower app in it, or it is too large.
    """
    read_app(folder)
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
        and not _LEFT_OUT.intersection(path.relative_to(folder).parts)
        and path.suffix not in _COMPILED
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in names:
            bundle.writestr(zipfile.ZipInfo(name, _EPOCH), (folder / name).read_bytes(), zipfile.ZIP_DEFLATED)
    if len(names) > MAX_FILES or out.tell() > MAX_BUNDLE_BYTES:
        raise _too_large(folder)
    return out.getvalue()


def read_bundle(app: Path) -> bytes:
    """Return the bundle of an app: of a folder as ``pack`` makes it, of a file its bytes.

    Args:
        app: the app's folder, or its bundle, whether ``pack`` or Flower's ``flwr build`` has made it.

    Raises:
        BundleError: there is no Flower app in the folder, or it is too large.
        NotFoundError: it cannot be read.
    """
    if app.is_dir():
        return pack(app)
    try:
        if app.stat().st_size > MAX_BUNDLE_BYTES:
            raise _too_large(app)
        return app.read_bytes()
    except OSError as error:
        raise NotFoundError(f"The app cannot be read: {error.strerror}.", where=str(app)) from error


def describe(bundle: bytes) -> App:
    """Return what a bundle is (raises as ``unpack``)."""
    return read_files(bundle)[0]


def read_files(bundle: bytes) -> tuple[App, dict[str, bytes]]:
    """Return what a bundle is, and its files by their names below its folder (raises as ``unpack``)."""
    with tempfile.TemporaryDirectory() as scratch:
        archive, folder = Path(scratch, "bundle.zip"), Path(scratch, "app")
        archive.write_bytes(bundle)
        app = unpack(archive, folder)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return app, {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def digest(bundle: bytes) -> str:
    """Return the digest by which nodes approve a bundle."""
    return sha256_hex(bundle)


def unpack(bundle: Path, folder: Path) -> App:
    """Unpack a bundle into an empty folder and return what it is.

    Raises:
        BundleError: it is not a zip, holds something other than plain files below ``folder``, or unpacks to too much.
    """
    try:
        with zipfile.ZipFile(bundle) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_FILES or sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
                raise BundleError("The app bundle unpacks to more than is allowed.")
            for entry in entries:
                name = PurePosixPath(entry.filename)
                mode = entry.external_attr >> 28
                if name.is_absolute() or ".." in name.parts or "\\" in entry.filename or mode not in (0, 8):
                    raise BundleError("The app bundle holds something other than plain files below its own folder.")
                if "__pycache__" in name.parts or name.suffix in _COMPILED:
                    raise BundleError("The app bundle holds compiled Python, which nobody who approves it can read.")
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source:
                    data = source.read(entry.file_size + 1)
                if len(data) != entry.file_size:
                    raise BundleError("The app bundle holds a file of another size than it says.")
                target.write_bytes(data)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, OSError) as error:
        raise BundleError("The app bundle cannot be unpacked.") from error
    return read_app(folder)


def read_app(folder: Path) -> App:
    """Return the description of the Flower app in ``folder``.

    Raises:
        BundleError: its ``pyproject.toml`` is missing or does not describe one.
    """
    where = str(folder / "pyproject.toml")
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        app = project["tool"]["flwr"]["app"]
        parts = app["components"]
        return App(
            name=str(project["project"]["name"]),
            version=str(project["project"]["version"]),
            server_app=str(parts["serverapp"]),
            client_app=str(parts["clientapp"]),
            config=_flat(app.get("config", {})),
            description=str(project["project"].get("description", "")),
            parameters={
                str(name): Parameter.model_validate(one)
                for name, one in project["tool"].get("datalab", {}).get("parameters", {}).items()
            },
        )
    except ValidationError as error:
        raise bad_field("[tool.datalab.parameters]", error, where=where) from error
    except OSError as error:
        raise BundleError("There is no Flower app here: pyproject.toml cannot be read.", where=where) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(
            "pyproject.toml does not describe a Flower app.",
            where=where,
            next_step="It needs [project] name and version, and [tool.flwr.app.components] serverapp and clientapp.",
        ) from error


def check_config(app: App, config: Mapping[str, Any]) -> None:
    """Raise BadInputError if a setting is not the app's own, of another type than its default, or out of its range."""
    for key, value in config.items():
        if key not in app.config:
            raise BadInputError(
                f"The app {app.name} has no setting {key}.", next_step=f"It has: {', '.join(sorted(app.config))}."
            )
        default = app.config[key]
        if type(value) is not type(default) and not (isinstance(default, float) and type(value) is int):
            raise BadInputError(f"The app's setting {key} is a {type(default).__name__}, such as {default!r}.")
        parameter = app.parameters.get(key)
        if parameter is not None and not parameter.allows(value):
            raise BadInputError(f"The app's setting {key} is {parameter}, and {value!r} is not.")


def _too_large(app: Path) -> BundleError:
    return BundleError(f"The app has more than {MAX_FILES} files or {MAX_BUNDLE_BYTES >> 20} MiB.", where=str(app))


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
