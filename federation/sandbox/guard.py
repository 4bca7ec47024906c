"""Watches a sandbox from outside: what its processes use together, which limits of each leave open.

A thread looks ten times a second and ends the sandbox beyond a limit. It also keeps the first part of what the sandbox
says on its stderr, in a log that stays here. What cannot be measured is ended as well: nothing runs unwatched.

What it cannot see: the time of children that their parent never waits for, once they have ended. Files that are for
long on their way through a local socket end the sandbox: nobody can say how large they are.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from federation.sandbox.limits import Limits

if TYPE_CHECKING:
    from os import _ScandirIterator as Scan

log = structlog.get_logger()

INTERVAL, LONGEST_INTERVAL = 0.1, 2.0
KILL_SECONDS = 5.0
LOG_BYTES = 4 << 20
"""What is kept of a sandbox's stderr."""
MAX_LOOKS_IN_FLIGHT = 20
"""Looks in a row that may find files on their way from process to process; honest ones are taken from there at once."""
MAX_DEPTH = 32
"""Folders within each other, each of which is held open while it is looked through."""
_TICKS = os.sysconf("SC_CLK_TCK")
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
"""What opening a folder says that has just been removed, or has become another thing."""


class _TooDeepError(Exception):
    """Folders lie too deep within each other."""


class Guard:
    """Watches one sandbox until ``close``.

    Args:
        pid: the process started: bubblewrap's outer one, or the app's own where there is no sandbox.
        errors: read end of its stderr; closed here.
        log: where that goes.
        folder: what it may write to.
        limits: what it may use.

    Attributes:
        reason: why it was ended, for people; None if this guard did not end it.
    """

    def __init__(self, pid: int, errors: int, log: Path, folder: Path, limits: Limits) -> None:
        self.reason: str | None = None
        self._pid = pid
        self._errors = errors
        self._log = log
        self._folder = folder
        self._limits = limits
        self._cpu: dict[int, float] = {}
        self._most_cpu = 0.0
        self._in_flight = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sandbox-guard", daemon=True)
        self._thread.start()

    def kill(self) -> None:
        """End the sandbox and wait until nothing of it is left.

        The kernel ends all of a namespace with its first process, and calls that one ended only when all others have.
        """
        found: list[int] = []
        try:
            try:
                for pid in _tree(self._pid):
                    with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                        found.append(os.pidfd_open(pid))
            except OSError as error:  # this process has no descriptor left: the first one takes the others along
                log.error("not every process of a sandbox could be looked up", pid=self._pid, exc_info=error)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)
            for process in found:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(process, signal.SIGKILL)
            deadline = time.monotonic() + KILL_SECONDS
            for process in found:
                poller = select.poll()
                poller.register(process, select.POLLIN)
                poller.poll(max(0.0, deadline - time.monotonic()) * 1000)
        finally:
            for process in found:
                os.close(process)

    def close(self) -> None:
        """Stop watching; the sandbox has ended."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        try:
            self._look_until_closed()
        except Exception as error:
            log.error("a sandbox could not be watched, so it is ended", pid=self._pid, exc_info=error)
            self.reason = self.reason or "it could not be measured"
            self.kill()
        finally:
            os.close(self._errors)

    def _look_until_closed(self) -> None:
        poller = select.poll()
        poller.register(self._errors, select.POLLIN)
        due, room, opened = time.monotonic() + INTERVAL, LOG_BYTES, True
        with self._log.open("ab", buffering=0) as said_file:
            while opened or not self._ended.is_set():
                wait = max(0.0, due - time.monotonic())
                if opened and poller.poll(0 if self._ended.is_set() else wait * 1000):
                    said = os.read(self._errors, 1 << 16)
                    opened = bool(said)
                    said_file.write(said[:room])
                    room = max(0, room - len(said))
                elif self._ended.is_set():
                    return
                elif not opened:
                    self._ended.wait(wait)
                if time.monotonic() >= due and self.reason is None and not self._ended.is_set():
                    began = time.thread_time()
                    self.reason = self._look()
                    if self.reason is not None:
                        self.kill()
                    # a look that foreign code has made costly does not come as often
                    pause = min(max(INTERVAL, 10 * (time.thread_time() - began)), LONGEST_INTERVAL)
                    due = time.monotonic() + pause

    def _look(self) -> str | None:
        """Return which limit is exceeded, or None."""
        processes = list(_tree(self._pid))
        scratch_files, memory = _scratch(processes)
        if memory + sum(_memory(pid) for pid in processes) > self._limits.memory_bytes:
            memory += sum(_share_of_memory(pid) for pid in processes)  # what several share is no longer counted twice
        if memory > self._limits.memory_bytes:
            return "it used more memory than it may"
        if self._cpu_seconds(processes) > self._limits.cpu_seconds:
            return "it used more processor time than it may"
        return self._written_too_much(processes, scratch_files)

    def _written_too_much(self, processes: list[int], scratch_files: int) -> str | None:
        try:
            files, size, in_flight = self._written(processes)
        except PermissionError:
            return "it hid what it wrote"
        except _TooDeepError:
            return f"it put more than {MAX_DEPTH} folders within each other"
        self._in_flight = self._in_flight + 1 if in_flight else 0
        if self._in_flight > MAX_LOOKS_IN_FLIGHT:
            return "it hid what it wrote"
        if size > self._limits.disk_bytes:
            return "it wrote more than it may"
        if max(files, scratch_files) > self._limits.files:
            return "it made more files than it may"
        return None

    def _cpu_seconds(self, processes: list[int]) -> float:
        """Return the processor time of all that has ever run, as far as it has been seen; nothing is counted twice.

        Of two sums the larger one: what was ever seen of each process, and what the living ones have used together with
        the children that they have waited for. Parents are read first: a child that ends meanwhile is missed once.
        """
        living = 0.0
        for pid in processes:
            own, children = _cpu_seconds(pid)
            self._cpu[pid] = max(self._cpu.get(pid, 0.0), own)
            living += own + children
        self._most_cpu = max(self._most_cpu, living)
        return max(self._most_cpu, sum(self._cpu.values()))

    def _written(self, processes: list[int]) -> tuple[int, int, bool]:
        """Return how many files it has written, their bytes, and whether some are on their way between processes.

        They are in the writable folder, or deleted and still open or mapped.
        """
        device = self._folder.stat().st_dev
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        files = size = 0
        for found in _entries(folder):
            files, size = files + 1, size + found.st_blocks * 512
            if files > self._limits.files or size > self._limits.disk_bytes:
                return files, size, False
        deleted: dict[int, int] = {}
        in_flight = False
        for pid in processes:
            for descriptor, found in _open_files(pid):
                if stat.S_ISREG(found.st_mode) and found.st_nlink == 0 and found.st_dev == device:
                    deleted[found.st_ino] = found.st_blocks * 512
                elif stat.S_ISSOCK(found.st_mode):
                    in_flight = in_flight or _holds_files(pid, descriptor)
        for pid in processes:
            for inode, mapped in _mapped_deleted(pid, device):
                deleted.setdefault(inode, mapped)
        return files + len(deleted), size + sum(deleted.values()), in_flight


def _entries(top: int) -> Iterator[os.stat_result]:
    """Yield what is below an open folder, which is closed; links are not followed, whatever changes meanwhile.

    Raises:
        PermissionError: a folder cannot be read.
        _TooDeepError: there are more than ``MAX_DEPTH`` folders within each other.
    """
    folders = [_opened(top)]
    try:
        while folders:
            folder, entries = folders[-1]
            try:
                entry = next(entries, None)
                if entry is None:
                    _close(*folders.pop())
                    continue
                found = entry.stat(follow_symlinks=False)
                yield found
                if stat.S_ISDIR(found.st_mode):
                    if len(folders) > MAX_DEPTH:
                        raise _TooDeepError
                    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                    folders.append(_opened(os.open(entry.name, flags, dir_fd=folder)))
            except OSError as error:
                if error.errno not in _GONE:
                    raise
    finally:
        for one in folders:
            _close(*one)


def _opened(folder: int) -> tuple[int, Scan[str]]:
    try:
        return folder, os.scandir(folder)
    except BaseException:
        os.close(folder)
        raise


def _close(folder: int, entries: Scan[str]) -> None:
    entries.close()
    os.close(folder)


def _tree(pid: int) -> Iterator[int]:
    """Yield a process and all below it, parents first."""
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        yield parent
        waiting += _children(parent)


def _children(pid: int) -> Iterator[int]:
    """Yield the children of a process; one that has just ended has none (proc(5): task/TID/children)."""
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            yield from map(int, (thread / "children").read_text(encoding="ascii").split())
    except (FileNotFoundError, ProcessLookupError):
        return


def _memory(pid: int) -> int:
    """Return the bytes of memory of a process that are not a file's: its own, shared and swapped out ones."""
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return _sum_of(status, b"RssAnon:", b"RssShmem:", b"VmSwap:")


def _share_of_memory(pid: int) -> int:
    """As ``_memory``, but a page that several processes share is divided among them (slower: all mappings are read)."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    except PermissionError:  # an agent without CAP_SYS_PTRACE
        return _memory(pid)
    return _sum_of(rollup, b"Pss_Anon:", b"Pss_Shmem:", b"SwapPss:")


def _sum_of(text: bytes, *names: bytes) -> int:
    """Return the sum of some lines ``name: number kB`` in bytes.

    The kernel ends lines with a line feed and escapes it in a process's name; to ``str.splitlines``, other characters
    that a process may choose for its name end a line as well.
    """
    return sum(int(line.split()[1]) for line in text.split(b"\n") if line.startswith(names)) << 10


def _cpu_seconds(pid: int) -> tuple[float, float]:
    """Return the processor time of a process, and that of the children that it has waited for."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0, 0.0
    fields = text.rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS, (int(fields[13]) + int(fields[14])) / _TICKS


def _open_files(pid: int) -> Iterator[tuple[str, os.stat_result]]:
    """Yield descriptor and state of the open files of a process.

    None where this process may not look (an agent without CAP_SYS_PTRACE).
    """
    try:
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return
    for descriptor in descriptors:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):  # closed meanwhile
            yield descriptor.name, descriptor.stat()


def _mapped_deleted(pid: int, device: int) -> Iterator[tuple[int, int]]:
    """Yield inode and size of the deleted files of a device that a process has mapped (proc(5): maps, map_files).

    Where this process may not look at the files themselves, as an agent that is not root, they count as far as they are
    mapped.
    """
    try:
        maps = Path(f"/proc/{pid}/maps").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return
    if b" (deleted)" not in maps:
        return
    number = f"{os.major(device):02x}:{os.minor(device):02x}".encode()
    for line in maps.split(b"\n"):
        if not line.endswith(b" (deleted)"):
            continue
        addresses, _, offset, on, inode, _ = line.split(maxsplit=5)
        if on != number:
            continue
        begin, end = (int(one, 16) for one in addresses.split(b"-"))
        try:
            yield int(inode), Path(f"/proc/{pid}/map_files/{begin:x}-{end:x}").stat().st_blocks * 512
        except OSError:  # not allowed, or gone meanwhile
            yield int(inode), int(offset, 16) + end - begin


def _holds_files(pid: int, descriptor: str) -> bool:
    """Whether files wait in a local socket to be taken from there (proc(5): fdinfo, scm_fds)."""
    try:
        text = Path(f"/proc/{pid}/fdinfo/{descriptor}").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # closed meanwhile, or not allowed
        return False
    return any(int(line.split()[1]) for line in text.split(b"\n") if line.startswith(b"scm_fds:"))


def _scratch(processes: list[int]) -> tuple[int, int]:
    """Return files and bytes of memory in the /tmp and /dev/shm of a sandbox, or 0 where this process may not look."""
    files = used = 0
    for pid in processes[1:2]:  # the first one inside
        for name in ("tmp", "dev/shm"):
            try:
                if Path(f"/proc/{pid}/root").samefile("/"):  # without a sandbox they are everybody's
                    continue
                found = os.statvfs(f"/proc/{pid}/root/{name}")
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            files = max(files, found.f_files - found.f_ffree)
            used += (found.f_blocks - found.f_bfree) * found.f_frsize
    return files, used
