"""Which authority of a home issues certificates, and which root counts besides: one small file, replaced in one piece.

An authority's folder stays where it was made. A rollover changes this file alone, so that whoever reads it meets either
the state before a step or the one after it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints, ValidationError

from datalab.errors import IdentityError
from datalab.home import Home, write_atomically

Folder = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class Standing(BaseModel):
    """Whose word counts.

    Attributes:
        issuing: name of the folder of the authority that issues.
        other: during a rollover, that of the authority that is to take over, and after the switch that of the former
            one; members trust its root as well.
        started: when the rollover was, if one is under way.
        switched: when the new authority took over.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuing: Folder = "issuing-ca"
    other: Folder | None = None
    started: AwareDatetime | None = None
    switched: AwareDatetime | None = None


def read_standing(home: Home) -> Standing:
    """Return it; without a file, the authority that the home was made with issues alone.

    Raises:
        IdentityError: the file is damaged.
    """
    path = _file(home)
    try:
        return Standing.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Standing()
    except (OSError, ValidationError) as error:
        raise IdentityError(
            "The file that says which authority issues cannot be read.",
            where=str(path),
            next_step="Restore it from a backup of the lab's home.",
        ) from error


def write_standing(home: Home, standing: Standing) -> None:
    """Have ``standing`` count from this moment on."""
    write_atomically(_file(home), standing.model_dump_json(exclude_none=True).encode())


def authority_folder(home: Home, name: str) -> Path:
    """Return the folder of the authority that a ``Standing`` names."""
    return home.path / "federation" / name


def _file(home: Home) -> Path:
    return home.path / "federation" / "authority.json"
