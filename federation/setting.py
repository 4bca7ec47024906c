"""What a setting of an app may be, as the app itself or a node's policy says."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator


class Setting(BaseModel):
    """What a setting of an app may be; all that is written must hold, of a list for each of its elements.

    Attributes:
        min: the smallest number.
        max: the largest number.
        values: the only values.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    min: float | None = None
    max: float | None = None
    values: tuple[bool | int | float | str, ...] | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is greater than max")
        return self

    def allows(self, value: Any) -> bool:
        """Whether a run may set it to ``value``."""
        if isinstance(value, list):
            return all(self.allows(one) for one in value)
        if self.values is not None and not any(_equal(value, one) for one in self.values):
            return False
        if self.min is None and self.max is None:
            return True
        number = isinstance(value, int | float) and not isinstance(value, bool)
        low = float("-inf") if self.min is None else self.min
        high = float("inf") if self.max is None else self.max
        return number and low <= value <= high

    def __str__(self) -> str:
        said = []
        if self.min is not None:
            said.append(f"at least {self.min:g}")
        if self.max is not None:
            said.append(f"at most {self.max:g}")
        if self.values is not None:
            said.append(f"one of {', '.join(map(str, self.values))}")
        return " and ".join(said) or "anything"


class Words(BaseModel):
    """A setting's name and what it does, in one language."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str
    help: str


class Parameter(Setting):
    """A setting as the app's author describes it.

    Attributes:
        label: its name, for whoever launches the app.
        help: what it does.
        columns: whether it names one column of the data, or several, separated by commas.
        numbers: whether these have to hold numbers.
        de: name and help in German.
        fr: the same in French.
    """

    label: str = ""
    help: str = ""
    columns: Literal["one", "several"] | None = None
    numbers: bool = False
    de: Words | None = None
    fr: Words | None = None


def _equal(one: Any, other: Any) -> bool:
    """Whether two settings are the same; ``true`` is not 1."""
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)
