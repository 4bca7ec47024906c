"""The enrolment token: one line of text that an operator hands to whoever runs a new member."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from datalab.canonical import canonical_json
from datalab.errors import IdentityError
from federation.pki.identity import Identity, Role

_MAX_CHARACTERS = 8192
_ADDRESS = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}")


class EnrolmentToken(BaseModel):
    """Where to enrol, as whom, and which authority to trust: its root itself, so that nothing unproven is.

    Attributes:
        address: of the enrolment listener, "host:port".
        secret: works once.
        federation: the trust domain.
        role: what the member will be.
        name: its name.
        ca: the federation's root certificate, DER.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")

    address: str
    secret: Annotated[str, StringConstraints(min_length=32, max_length=128), Field(repr=False)]
    federation: str
    role: Role
    name: str
    ca: Annotated[bytes, Field(max_length=4096, repr=False)]

    @field_validator("address")
    @classmethod
    def _is_address(cls, value: str) -> str:
        return check_address(value)

    @property
    def identity(self) -> Identity:
        """Whom the token is for (raises IdentityError if that is not a member's identity)."""
        return Identity(self.federation, self.role, self.name)

    def encode(self) -> str:
        """Return the token as text: base64url of JSON, without padding."""
        return base64.urlsafe_b64encode(canonical_json(self.model_dump(mode="json"))).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Self:
        """Read what ``encode`` wrote; white space, as pasting adds it, is ignored.

        Raises:
            IdentityError: it is not a token.
        """
        compact = "".join(text.split())
        try:
            if len(compact) > _MAX_CHARACTERS:
                raise ValueError("too long")
            data = base64.b64decode(compact + "=" * (-len(compact) % 4), altchars=b"-_", validate=True)
            return cls.model_validate_json(data)
        except (ValidationError, ValueError, binascii.Error) as error:
            raise IdentityError(
                "This is not an enrolment token.",
                next_step="Copy the whole text that `datalab node invite` wrote, or ask for a new token.",
            ) from error


def check_address(text: str) -> str:
    """Return ``text`` if it has the form "host:port" (an IPv6 address in brackets); raises ValueError otherwise."""
    if not _ADDRESS.fullmatch(text):
        raise ValueError("an address is host:port")
    return text
