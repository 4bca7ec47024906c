"""The filter of system calls around foreign code: a small BPF program (seccomp(2), filter mode) for bubblewrap to load.

It denies what no app needs and what has let programs out of sandboxes: mounting and namespaces, looking into other
processes, loading code into the kernel, its keys, its clocks, device nodes, asynchronous I/O past the filter, and every
socket but a local one. What makes memory that no process's size shows (memfd, System V and POSIX queues) is denied too.
"""

from __future__ import annotations

import errno
import os
import platform
import socket
import struct
from typing import Final

from federation.errors import FederationError

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_X32 = 0x40000000
_NAMESPACES = 0x7E020000
"""CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}; a time namespace can only be made by unshare and clone3."""

# Number of each call on x86_64 and on aarch64 (include/uapi/asm-generic/unistd.h of Linux); None where there is none.
DENIED: Final[dict[str, tuple[int | None, int | None]]] = {
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "perf_event_open": (298, 241),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "personality": (135, 92),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
}
_SOCKETS: Final = ((41, 198), (53, 199))
_CLONE: Final = (56, 220)
_CLONE3: Final = 435
_ARCHITECTURES: Final = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}


class NoFilterError(FederationError):
    """There is no filter for this machine's processor."""


def program(machine: str | None = None) -> bytes:
    """Return the filter for ``machine`` (this one's processor if it is left out).

    Raises:
        NoFilterError: there is none for it.
    """
    machine = machine or platform.machine()
    if machine not in _ARCHITECTURES:
        raise NoFilterError(
            f"There is no filter of system calls for the processor {machine}, so foreign code is refused.",
            next_step="Use a machine with an x86_64 or aarch64 processor.",
        )
    column, architecture = _ARCHITECTURES[machine]
    deny, absent = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    code = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NUMBER)]
    if machine == "x86_64":  # its second set of numbers would pass by the filter
        code += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, absent)]
    for number in (numbers[column] for numbers in DENIED.values()):
        if number is not None:
            code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, deny)]
    # glibc falls back to clone, whose flags a filter can see
    code += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, absent)]
    code += [
        (_EQUAL, 0, 4, _CLONE[column]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_ANY_BIT, 0, 1, _NAMESPACES),
        (_RETURN, 0, 0, deny),
        (_RETURN, 0, 0, _ALLOW),
    ]
    for numbers in _SOCKETS:
        code += [
            (_EQUAL, 0, 4, numbers[column]),
            (_LOAD, 0, 0, _FIRST_ARGUMENT),
            (_EQUAL, 1, 0, socket.AF_UNIX),
            (_RETURN, 0, 0, _ERRNO | errno.EAFNOSUPPORT),
            (_RETURN, 0, 0, _ALLOW),
        ]
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *step) for step in code)


def open_program() -> int:
    """Return a file descriptor from which bubblewrap reads the filter; the caller closes it.

    Raises:
        NoFilterError: there is none for this machine.
    """
    text = program()
    descriptor = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    os.write(descriptor, text)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
