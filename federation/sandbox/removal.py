"""Removes what foreign code leaves behind, however deep it lies and whatever rights it has."""

from __future__ import annotations

import os
import stat
import uuid
from pathlib import Path

import structlog

log = structlog.get_logger()
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def remove_folder(path: Path) -> None:
    """Remove a folder that no process uses any more, if it is there; what cannot be removed is logged.

    Folders are moved up until they lie in the topmost one, so that no depth uses up descriptors, stack or path length.
    """
    try:
        if path.is_symlink() or not path.exists():
            path.unlink(missing_ok=True)
            return
        path.chmod(0o700)
        top = os.open(path, _FOLDER)
        try:
            while names := os.listdir(top):  # noqa: PTH208 - of an open folder
                for name in names:
                    _remove(name, top)
        finally:
            os.close(top)
        path.rmdir()
    except OSError as error:
        log.error("a folder could not be removed; remove it by hand", folder=str(path), exc_info=error)


def _remove(name: str, top: int) -> None:
    """Remove a file of an open folder, or a folder whose own folders are moved up."""
    if not _is_folder(name, top):
        os.unlink(name, dir_fd=top)
        return
    folder = os.open(name, _FOLDER, dir_fd=top)
    try:
        for below in os.listdir(folder):  # noqa: PTH208
            if _is_folder(below, folder):
                os.rename(below, uuid.uuid4().hex, src_dir_fd=folder, dst_dir_fd=top)
            else:
                os.unlink(below, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=top)


def _is_folder(name: str, within: int) -> bool:
    """Whether it is a folder, which is made accessible."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=within, follow_symlinks=False).st_mode):
        return False
    os.chmod(name, 0o700, dir_fd=within)
    return True
