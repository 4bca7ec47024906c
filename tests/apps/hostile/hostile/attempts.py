"""What an app must not be able to do, at a node or at the lab."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import itertools
import mmap
import os
import signal
import socket
import sys
import time
from pathlib import Path

from federation.wire.buffers import BufferStore

OUTBOX = Path("/datalab/outbox" if Path("/datalab/outbox").exists() else "/datalab/work/outbox")
CALLS = {"unshare": 272, "ptrace": 101, "keyctl": 250, "memfd_create": 319, "bpf": 321, "perf_event_open": 298}
CALLS |= {"userfaultfd": 323, "io_uring_setup": 425}


def attempt(what: str, target: str) -> str:  # noqa: C901, PLR0911, PLR0912 - a list of attempts
    """Return what came of it."""
    match what:
        case "connect":
            host, port = target.rsplit(":", 1)
            socket.create_connection((host, int(port)), timeout=2).close()
        case "socket":
            socket.socket(getattr(socket, target), socket.SOCK_RAW if target == "AF_PACKET" else 1).close()
        case "system call":
            libc = ctypes.CDLL(None, use_errno=True)
            done = libc.syscall(CALLS[target], ctypes.c_long(0x10000000), *[ctypes.c_long(0)] * 5)
            return "done" if done >= 0 else f"refused: {errno.errorcode[ctypes.get_errno()]}"
        case "become root":
            os.setresuid(int(target), int(target), int(target))
        case "read":
            return Path(target).read_text(encoding="utf-8", errors="replace")[:100]
        case "open for writing":
            os.close(os.open(target, os.O_WRONLY))
        case "kernel settings":
            found = [path for path in Path("/proc/sys").rglob("*") if path.is_file() and os.access(path, os.W_OK)]
            return str(sum(_opens(path) for path in found))
        case "allocate":
            return str(len(bytearray(int(target))))
        case "write":
            Path(target).write_text("was here", encoding="utf-8")
        case "fill":
            _fill(Path(target) / "filling")
        case "environment":
            return " ".join(sorted(os.environ))
        case "processes":
            return " ".join(path.name for path in Path("/proc").iterdir() if path.name.isdigit())
        case "leave things behind":
            Path("link").symlink_to("/etc/shadow")
            Path("below").mkdir()
            Path("below/link").symlink_to("/")
            Path("below/plain.txt").write_text("plain", encoding="utf-8")
            os.mkfifo("pipe")
        case "leave too much behind":
            for number in range(2000):
                Path(str(number)).touch()
        case "print":
            print("a stray line on standard output", flush=True)
            sys.stdout.buffer.write(b"\0\0\0\4junk")
        case "print without end":
            for _ in range(64):
                os.write(2, b"x" * (1 << 20))
        case "exit":
            os._exit(3)
        case "kill all":
            with contextlib.suppress(OSError):
                os.kill(-1, signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        case "raise":
            raise ValueError(f"a row of {target}")
        case "reply with a link" | "reply with a folder" | "reply with something else":
            BufferStore.add = lambda _store, _data: _left(what)  # type: ignore[method-assign]
        case _:
            _use_up(what)
    return "done"


def _use_up(what: str) -> None:  # noqa: C901, PLR0912 - a list of attempts
    match what:
        case "hang":
            time.sleep(3600)
        case "ignore SIGTERM":
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGXCPU):
                signal.signal(number, signal.SIG_IGN)
            os.write(2, b"under way\n")
            time.sleep(3600)
        case "spin":
            os.write(2, b"under way\n")
            while True:
                pass
        case "spin in many processes":
            for _ in range(8):
                if os.fork() == 0:
                    while True:
                        pass
            time.sleep(3600)
        case "fork bomb":
            _bomb()
        case "allocate in many processes":
            for _ in range(4):
                if os.fork() == 0:
                    kept = [bytearray(os.urandom(1 << 20)) for _ in range(256)]
                    time.sleep(3600 + len(kept))
            time.sleep(3600)
        case "share memory without end":
            kept = []
            while True:
                kept.append(mmap.mmap(-1, 1 << 20))
                kept[-1].write(b"x" * (1 << 20))
        case "fill the outbox":
            for number in itertools.count():
                _fill(OUTBOX / str(number), 16)
        case "fill a deleted file":
            for number in range(64):
                file = (OUTBOX / str(number)).open("wb", buffering=0)
                (OUTBOX / str(number)).unlink()
                for _ in range(4):
                    file.write(b"x" * (1 << 20))
                KEPT.append(file)
            time.sleep(3600)
        case "make files without end":
            for number in itertools.count():
                (OUTBOX / str(number)).touch()
        case "make scratch files without end":
            for number in itertools.count():
                (Path("/tmp") / str(number)).touch()
        case "hide a folder":
            (OUTBOX / "hidden").mkdir(mode=0)
            time.sleep(3600)
        case "write to the pipe":
            for descriptor in range(3, 20):
                try:
                    while True:
                        os.write(descriptor, b"\xff" * (1 << 20))
                except OSError:
                    continue
        case _:
            raise AssertionError(what)


KEPT: list[object] = []


def _bomb() -> None:
    """Fork for ever, in every process that this makes; say how many there are."""
    while True:
        try:
            os.fork()
        except OSError:
            alive = sum(path.name.isdigit() for path in Path("/proc").iterdir())
            os.write(2, f"under way: {alive - 1} alive\n".encode())
            time.sleep(0.2)


def _fill(path: Path, megabytes: int = 1 << 20) -> None:
    with path.open("wb", buffering=0) as file:
        for _ in range(megabytes):
            file.write(b"x" * (1 << 20))


def _left(what: str) -> bytes:
    """Leave something in the outbox that is not what its name says."""
    sha256 = hashlib.sha256(b"model").digest()
    path = OUTBOX / sha256.hex()
    match what:
        case "reply with a link":
            path.symlink_to("/etc/shadow")
        case "reply with a folder":
            path.mkdir()
        case _:
            path.write_bytes(b"x" * (1 << 20))
    return sha256


def attempts(what: str, targets: str) -> list[str]:
    """Return what came of an attempt on each of the targets: what it got, or the name of the exception."""
    outcomes = []
    for target in targets.split(","):
        try:
            outcomes.append(attempt(what, target))
        except (OSError, MemoryError) as error:
            outcomes.append(f"refused: {type(error).__name__}")
    return outcomes


def _opens(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_WRONLY))
    except OSError:
        return False
    return True
