"""What a process does to escape the eyes of its guard: real processes, which need no sandbox for that."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from federation.sandbox.guard import MAX_DEPTH, Guard
from federation.sandbox.limits import Limits
from federation.sandbox.removal import remove_folder

LIMITS = Limits(memory_bytes=1 << 30, cpu_seconds=60, disk_bytes=1 << 30)
NAMED_LIKE_A_LINE = r"""
import ctypes, os, time
ctypes.CDLL(None).prctl(15, b"\x0cRssAnon:", 0, 0, 0)
held = b"x" * (96 << 20)
print("ready", flush=True)
time.sleep(60)
"""
DEEP = """
import os, time
for _ in range(1500):
    os.mkdir("d")
    os.chdir("d")
print("ready", flush=True)
time.sleep(60)
"""
MANY_SHORT_CHILDREN = """
import os, time
print("ready", flush=True)
while True:
    if os.fork() == 0:
        end = time.process_time() + 0.02
        while time.process_time() < end:
            pass
        os._exit(0)
    os.wait()
"""
CHILDREN_THAT_ARE_WAITED_FOR = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        end = time.process_time() + 0.3
        while time.process_time() < end:
            pass
        os._exit(0)
    os.wait()
print("ready", flush=True)
"""

MAPPED_AND_DELETED = """
import mmap, os, time
with open("big", "w+b", buffering=0) as file:
    os.unlink("big")
    file.write(b"x" * (8 << 20))
    held = mmap.mmap(file.fileno(), 0)
print("ready", flush=True)
time.sleep(60)
"""
IN_FLIGHT = """
import os, socket, time
one, other = socket.socketpair()
with open("big", "w+b", buffering=0) as file:
    os.unlink("big")
    file.write(b"x" * (8 << 20))
    socket.send_fds(one, [b"x"], [file.fileno()])
print("ready", flush=True)
time.sleep(60)
"""


@contextmanager
def guarded(script: str, folder: Path, limits: Limits) -> Iterator[tuple[Guard, subprocess.Popen[bytes]]]:
    """Run a script in a folder, with a guard."""
    errors, said = os.pipe()
    out = folder / "out"
    out.mkdir()
    command = [sys.executable, "-c", script]
    process = subprocess.Popen(command, cwd=out, stdout=subprocess.PIPE, stderr=said, process_group=0)
    os.close(said)
    guard = Guard(process.pid, errors, folder / "log", out, limits)
    try:
        yield guard, process
    finally:
        guard.kill()
        process.communicate()
        guard.close()
        remove_folder(out)  # deeper than pytest can remove


@pytest.mark.parametrize(
    ("script", "limits", "said"),
    [
        (NAMED_LIKE_A_LINE, Limits(memory_bytes=64 << 20), "it used more memory than it may"),
        (DEEP, LIMITS, f"it put more than {MAX_DEPTH} folders within each other"),
        (MANY_SHORT_CHILDREN, Limits(memory_bytes=1 << 30, cpu_seconds=1), "it used more processor time than it may"),
        (MAPPED_AND_DELETED, Limits(memory_bytes=1 << 30, disk_bytes=4 << 20), "it wrote more than it may"),
        (IN_FLIGHT, Limits(memory_bytes=1 << 30, disk_bytes=4 << 20), "it hid what it wrote"),
    ],
    ids=["a name with a form feed", "deep folders", "many short children", "deleted but mapped", "in flight"],
)
def test_it_is_seen_and_ended(script: str, limits: Limits, said: str, tmp_path: Path) -> None:
    with guarded(script, tmp_path, limits) as (guard, process):
        assert process.wait(timeout=30) < 0
    assert guard.reason == said


def test_the_time_of_children_is_not_counted_twice(tmp_path: Path) -> None:
    with guarded(CHILDREN_THAT_ARE_WAITED_FOR, tmp_path, Limits(memory_bytes=1 << 30, cpu_seconds=2)) as (
        guard,
        process,
    ):
        assert process.wait(timeout=30) == 0
    assert guard.reason is None


def test_what_cannot_be_measured_is_ended(tmp_path: Path) -> None:
    with guarded("import time; print(flush=True); time.sleep(60)", tmp_path, LIMITS) as (guard, process):
        assert process.stdout is not None
        process.stdout.readline()
        (tmp_path / "out").rename(tmp_path / "elsewhere")
        assert process.wait(timeout=30) < 0
    assert guard.reason == "it could not be measured"
