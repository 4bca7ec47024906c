"""Where everything in a lab is found: the stable addresses that exports name things by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Address:
    """The addresses of one lab; ``api`` is where its API begins, such as ``https://lab.example/api/v1``."""

    api: str

    @property
    def catalogue(self) -> str:
        """The whole catalogue."""
        return f"{self.api}/catalog/dcat-ap"

    def dataset(self, dataset: str) -> str:
        """A dataset."""
        return f"{self.api}/datasets/{dataset}"

    def page(self, dataset: str) -> str:
        """The page of a dataset for people, where they ask for access."""
        return f"{self.api.removesuffix('/api/v1')}/datasets/{dataset}"

    def version(self, dataset: str, number: int) -> str:
        """A version of a dataset."""
        return f"{self.dataset(dataset)}/versions/{number}"

    def download(self, dataset: str, number: int, file: int) -> str:
        """One file of a version."""
        return f"{self.version(dataset, number)}/download?file={file}"

    def offer(self, dataset: str) -> str:
        """The ODRL offer that says how a dataset may be used."""
        return f"{self.dataset(dataset)}/exports/odrl"
