"""``python -m federation.sandbox.enter LIMITS UID GID MODULE``: the first thing that runs inside a sandbox.

It takes on limits and, in a sandbox made by root, a user id that no one else has; only then does it run the module that
loads foreign code. Neither can be undone: bubblewrap has left it no capability but to change its user.

A sandbox made by root has no user namespace: to the kernel, root inside one is root outside, whom ``RLIMIT_NPROC`` does
not bind. A sandbox made by an ordinary user has one, in which Linux (5.14 and later) counts its processes apart.
"""

from __future__ import annotations

import os
import resource
import runpy
import sys

from federation.sandbox.limits import Limits

ADDRESS_ROOM = 4 << 30
"""Address space beyond the memory: libraries and reserved ranges, which take no memory."""


def main() -> None:
    """Close the door behind this process, then become the module."""
    text, uid, gid, module = sys.argv[1:]
    limits = Limits.from_json(text)
    kinds = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, limits.memory_bytes),
        (resource.RLIMIT_AS, limits.memory_bytes + ADDRESS_ROOM),
        (resource.RLIMIT_FSIZE, limits.disk_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ]
    if limits.processes:
        kinds.append((resource.RLIMIT_NPROC, limits.processes))
    for kind, limit in kinds:
        resource.setrlimit(kind, (limit, limit))
    if int(uid):
        os.setgroups([])
        os.setresgid(int(gid), int(gid), int(gid))
        os.setresuid(int(uid), int(uid), int(uid))  # from here on without any capability
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
