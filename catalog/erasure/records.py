"""What is asked for, and what remains of it: a record that names nobody."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from catalog.records import Line, Record, Sha256, Slug
from catalog.run_records import DatasetVersion

KIND = "datalab-erasure+jws"
"""Of a signed record of an erasure."""


class ErasureDraft(Record):
    """That a person is to be removed.

    Attributes:
        holder: the data holder's identifier.
        pseudonym: by which the holder's data names the person; it is kept nowhere.
        reason: such as an opt-out (EHDS Art. 71) or an erasure (GDPR Art. 17).
    """

    holder: Slug
    pseudonym: Annotated[Line, Field(repr=False)]
    reason: Line


class Erasure(Record):
    """The removal of a person from the data of one holder; from then on the person is left out of whatever comes in.

    Attributes:
        mark: keyed digest of the pseudonym (``datalab.curation.optout``).
        uploads: raw files that held the pseudonym, and are gone.
        versions: versions that were written anew.
        elsewhere: nodes that keep data of the holder, which only the holder can erase there.
        signed: the same as a JWS by the lab, once it is done.
    """

    id: Slug
    holder: Slug
    mark: Sha256
    reason: Line
    requested_by: Line
    created: AwareDatetime
    state: Literal["pending", "done"] = "pending"
    finished: AwareDatetime | None = None
    uploads: tuple[Slug, ...] = ()
    versions: tuple[DatasetVersion, ...] = ()
    elsewhere: tuple[Slug, ...] = ()
    signed: str | None = None


class Marks(Record):
    """The marks of a holder's people who are left out."""

    holder: Slug
    marks: tuple[Sha256, ...]
