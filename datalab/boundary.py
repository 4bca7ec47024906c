"""What every boundary does with what comes in as a file or a model: say which field is wrong, never what it held."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datalab.errors import BadInputError

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_MOST = 5
_DEPTH = 3
_SAID = {"missing": "it must be given", "extra_forbidden": "there is nothing of this name"}
"""In other words than pydantic's, which speak of its models."""


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        FileNotFoundError: there is none.
        BadInputError: it is not valid TOML; the message has line and column.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise BadInputError(
            f"The file {path.name} is not valid TOML: {error}.", where=str(path), next_step="Correct it there."
        ) from error


def bad_field(
    what: str, error: ValidationError, *, where: str | None = None, next_step: str | None = None
) -> BadInputError:
    """Return what is wrong with a model, in a sentence that names the fields, the first few, and no value.

    Args:
        what: the thing that is not valid, such as ``node.toml`` or ``The run``.
        error: what pydantic found.
        where: file that it was read from.
        next_step: what the reader can do about it.
    """
    said: dict[str, str] = {}
    for one in error.errors(include_input=False, include_url=False):
        # A field that may have one of several forms fails once for each: the first is told.
        said.setdefault(".".join(map(str, one["loc"][:_DEPTH])), _said(one))
    shown = "; ".join([*said.values()][:_MOST])
    more = f"; and {len(said) - _MOST} more" if len(said) > _MOST else ""
    return BadInputError(f"{what} is not valid: {shown}{more}.", where=where, next_step=next_step)


def _said(error: ErrorDetails) -> str:
    field = ".".join(map(str, error["loc"]))
    said = _SAID.get(error["type"], error["msg"])
    return f"{field}: {said}" if field else said
