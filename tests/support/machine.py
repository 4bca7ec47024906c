"""A machine of its own for a test: systemd as its first process, in namespaces of its own, with this system's programs.

It shares the network with the test, and keeps its files below one folder. It needs root.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

TARGET = "test.target"
"""What systemd starts: a journal, and nothing that a whole boot would."""

SCRIPT = r"""
set -euo pipefail
cd "$1"
mount --bind . . && cd "$1"
mkdir -p etc/systemd/system proc sys dev run tmp var/lib var/log root opt home usr .old
chmod 1777 tmp
mount --rbind /usr usr
mount -o remount,ro,bind usr
mount -t tmpfs -o mode=755 tmpfs usr/local
mkdir usr/local/bin
for name in bin sbin lib lib32 lib64; do if [ -e "/$name" ]; then cp -a "/$name" .; fi; done
mkdir -p "./$2"
mount --bind "$2" "./$2"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm
ln -s /proc/self/fd dev/fd
ln -s pts/ptmx dev/ptmx
for name in null zero full random urandom tty; do touch "dev/$name"; mount --bind "/dev/$name" "dev/$name"; done
cp -r /etc/ld.so.cache /etc/hosts /etc/resolv.conf /etc/login.defs /etc/pam.d /etc/security etc/
printf 'root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/usr/sbin/nologin\n' > etc/passwd
printf 'root:x:0:\nnogroup:x:65534:\n' > etc/group
printf 'passwd: files\ngroup: files\nhosts: files dns\n' > etc/nsswitch.conf
printf '[Journal]\nAudit=no\nReadKMsg=no\nStorage=volatile\n' > etc/systemd/journald.conf
ln -s /dev/null etc/systemd/system/systemd-journald-audit.socket
printf '%032x\n' 1 > etc/machine-id
printf '[Unit]\nDefaultDependencies=no\n' > etc/systemd/system/sysinit.target
printf '[Unit]\nDefaultDependencies=no\nWants=systemd-journald.service\n' > etc/systemd/system/test.target
pivot_root . .old
cd /
umount -l .old
exec env -i container=other PATH=/usr/sbin:/usr/bin /usr/lib/systemd/systemd --system --unit=test.target
"""


class Machine:
    """A running machine.

    Args:
        folder: its root.
        python: folder of a Python installation that it has too, at the same place.
    """

    def __init__(self, folder: Path, python: Path) -> None:
        self._folder = folder
        self._python = python
        self._group = _control_groups(folder.parent / "cgroup") / f"datalab-test-{os.getpid()}"
        self.path = f"{python}/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    def __enter__(self) -> Self:
        self._group.mkdir()
        start = f'echo $$ > "{self._group}/cgroup.procs" && exec "$@"'
        apart = ["unshare", "--mount", "--pid", "--fork", "--cgroup", "--uts", "--ipc", "--kill-child"]
        inside = ["bash", "-c", SCRIPT, "machine", str(self._folder), str(self._python)]
        self._outer = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "bash", "-c", start, "bash", *apart, *inside], stdin=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 30
        while not (self._folder / "run/systemd/private").exists() and not self._is_up():
            assert self._outer.poll() is None, "the machine did not start"
            assert time.monotonic() < deadline, "the machine's systemd does not answer"
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._outer.kill()  # and with it, the machine's first process and so all others
        self._outer.wait()
        deadline = time.monotonic() + 10
        while self._group.exists():
            for group in sorted(self._group.rglob("*/"), reverse=True):
                _remove(group)
            _remove(self._group)
            assert time.monotonic() < deadline
        subprocess.run(["umount", self._group.parent], check=True)

    def host_path(self, path: str) -> Path:
        """Where a file of the machine is for the test."""
        return Path(f"/proc/{self._first()}/root", path.lstrip("/"))

    def run(self, command: str, *, cwd: str = "/root", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of bash as the machine's root."""
        enter = ["nsenter", "--target", str(self._first()), "--mount", "--pid", "--cgroup", "--uts", "--ipc"]
        script = f"cd {shlex.quote(cwd)}\n{command}"
        return subprocess.run(
            [*enter, "bash", "-euo", "pipefail", "-c", script],
            env={"PATH": self.path, "HOME": "/root", "LANG": "C.UTF-8", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def _first(self) -> int:
        """The process id, for the test, of the machine's first process."""
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text(encoding="ascii")
        return int(children.split()[0])

    def _is_up(self) -> bool:
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text(encoding="ascii").split()
        if not children or Path(f"/proc/{children[0]}/comm").read_text(encoding="ascii").strip() != "systemd":
            return False
        return self.run("systemctl is-active test.target", cwd="/").stdout.strip() == "active"


def _control_groups(place: Path) -> Path:
    """Mount the hierarchy of control groups (version 2), wherever this system has it."""
    place.mkdir()
    subprocess.run(["mount", "-t", "cgroup2", "cgroup2", place], check=True)
    return place


def _remove(group: Path) -> None:
    """Remove a control group, unless processes of it are still ending."""
    try:
        group.rmdir()
    except OSError:
        time.sleep(0.02)
