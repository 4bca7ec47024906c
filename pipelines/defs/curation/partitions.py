"""One partition for each version of each dataset, named after its data holder."""

from __future__ import annotations

from typing import NamedTuple, Self

import dagster as dg

from datalab.errors import BadInputError

dataset_versions = dg.DynamicPartitionsDefinition(name="dataset_versions")


class DatasetVersionKey(NamedTuple):
    """What a partition's key says: ``<holder>|<dataset>|<version>``."""

    holder: str
    dataset: str
    version: int

    def __str__(self) -> str:
        return f"{self.holder}|{self.dataset}|{self.version}"

    @classmethod
    def parse(cls, key: str) -> Self:
        """Read a partition key.

        Raises:
            BadInputError: it does not have this form.
        """
        match key.split("|"):
            case [holder, dataset, version] if version.isdecimal():
                return cls(holder, dataset, int(version))
        raise BadInputError(
            f"The partition {key} is not a version of a dataset.", next_step="Write it as <holder>|<dataset>|<version>."
        )
