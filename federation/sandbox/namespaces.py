"""Why a machine gives an ordinary user no user namespace, without which bubblewrap has no sandbox to offer."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Restriction:
    """A setting of the kernel that forbids user namespaces.

    Attributes:
        setting: its name, as ``sysctl`` writes it.
        what: one sentence.
        remedy: what the machine's administrator can do.
    """

    setting: str
    what: str
    remedy: str


_LIMIT = Restriction(
    "user.max_user_namespaces",
    "This machine allows no user namespaces at all: user.max_user_namespaces is 0.",
    "As root, write user.max_user_namespaces = 15000 into /etc/sysctl.d/90-datalab.conf, then: sysctl --system",
)
_CLONE = Restriction(
    "kernel.unprivileged_userns_clone",
    "This machine keeps user namespaces from ordinary users: kernel.unprivileged_userns_clone is 0.",
    "As root, write kernel.unprivileged_userns_clone = 1 into /etc/sysctl.d/90-datalab.conf, then: sysctl --system",
)
_APPARMOR = Restriction(
    "kernel.apparmor_restrict_unprivileged_userns",
    "AppArmor keeps user namespaces from programs that have no profile for them: "
    "kernel.apparmor_restrict_unprivileged_userns is 1.",
    f"As root, give bubblewrap a profile: cp {sys.prefix}/share/datalab/datalab-bwrap /etc/apparmor.d/ && "
    "apparmor_parser --replace /etc/apparmor.d/datalab-bwrap (or set it to 0 in /etc/sysctl.d/90-datalab.conf)",
)


def restriction(root: Path = Path("/"), *, privileged: bool | None = None) -> Restriction | None:
    """Return what forbids user namespaces here, or None if no setting of the kernel that is known does.

    Whether it matters is for the caller to try: a profile may allow bubblewrap what AppArmor forbids to others.

    Args:
        root: where ``proc`` is.
        privileged: whether to look as root does, for whom only the limit counts; by default, as this process is.
    """
    if _read(root, _LIMIT) == "0":
        return _LIMIT
    if os.geteuid() == 0 if privileged is None else privileged:
        return None
    if _read(root, _CLONE) == "0":
        return _CLONE
    if _read(root, _APPARMOR) == "1":
        return _APPARMOR
    return None


def _read(root: Path, one: Restriction) -> str | None:
    """Return the value of a setting; None where this kernel does not have it."""
    try:
        return root.joinpath("proc", "sys", *one.setting.split(".")).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
