"""The apps that come with Datalab: each is used as it is, or as what one's own app begins with."""

from __future__ import annotations

import shutil
from pathlib import Path

from datalab.errors import BadInputError, NotFoundError
from federation.bundle import App, read_app

FOLDER = Path(__file__).parent / "apps"


def templates() -> dict[str, App]:
    """Return the templates by name."""
    return {path.parent.name: read_app(path.parent) for path in sorted(FOLDER.glob("*/pyproject.toml"))}


def find_template(name: str) -> Path:
    """Return a template's folder; raises NotFoundError if there is none of that name."""
    if name not in templates():
        raise NotFoundError(f"There is no template {name}.", next_step=f"There are: {', '.join(templates())}.")
    return FOLDER / name


def copy_template(name: str, folder: Path) -> None:
    """Copy a template, whole, into a new or empty folder.

    Raises:
        NotFoundError: there is no such template.
        BadInputError: the folder has something in it.
    """
    template = find_template(name)
    if folder.exists() and any(folder.iterdir()):
        raise BadInputError(f"The folder {folder} is not empty.", next_step="Name an empty or a new one.")
    # What apps share is linked into each; a copy has files of its own.
    shutil.copytree(template, folder, symlinks=False, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
