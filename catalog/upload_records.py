"""Raw files: how they lie in object storage, and what has become of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field

from catalog.records import Line, Record, Sha256, Slug, StoredFile


class Sealed(Record):
    """How a raw file lies in object storage: encrypted.

    Attributes:
        owner: whose key wraps the file's own.
        wrapped_key: the file's own key, of no use without the owner's.
        sha256: of the file as it lies there.
        bytes: its size there.
        locked_until: until then only an erasure or the end of its retention removes it.
    """

    owner: Slug
    wrapped_key: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/=]{1,200}$", repr=False)]
    sha256: Sha256
    bytes: Annotated[int, Field(ge=0)]
    locked_until: AwareDatetime | None = None


class Upload(StoredFile):
    """A raw file as it arrived, kept under ``landing/``; digest and size are those of the file as it came.

    Attributes:
        sealed: how it lies there; None once it was removed.
        expired: when it was removed because its retention had ended.
    """

    id: Slug
    dataset: Slug
    filename: Line
    uploaded_by: Line
    created: AwareDatetime
    sealed: Sealed | None = None
    expired: AwareDatetime | None = None
    erased: AwareDatetime | None = None
    """When the file was removed because it held somebody who was erased; hand it in again without them."""


class Landed(Record):
    """An upload, and what has become of it.

    Attributes:
        holder: of its dataset.
        published_by: digests of the contracts by which versions were made of it.
        newest: whether it is the last one of its dataset.
        versions: how many versions the dataset has.
    """

    upload: Upload
    holder: Slug
    published_by: tuple[str, ...]
    newest: bool
    versions: int
