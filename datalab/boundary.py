"""What every boundary does with what comes in as a file or a model: say which field is wrong, never what it held."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datalab.errors import BadInputError

if TYPE_CHECKING:
    from pydantic import ValidationError


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        FileNotFoundError: there is none.
        BadInputError: it is not valid TOML; the message has line and column.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise BadInputError(f"The file is not valid TOML: {error}.", where=str(path)) from error


def bad_field(
    what: str, error: ValidationError, *, where: str | None = None, next_step: str | None = None
) -> BadInputError:
    """Return the first thing that is wrong with a model, in a sentence that names the field and no value.

    Args:
        what: the thing that is not valid, such as ``node.toml`` or ``The run``.
        error: what pydantic found.
        where: file that it was read from.
        next_step: what the reader can do about it.
    """
    first = error.errors(include_input=False, include_url=False)[0]
    field = ".".join(map(str, first["loc"]))
    return BadInputError(
        f"{what} is not valid: {f'{field}: ' if field else ''}{first['msg']}.", where=where, next_step=next_step
    )
