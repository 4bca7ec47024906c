"""The filter of system calls, run step by step as the kernel runs it (seccomp(2), bpf(4))."""

from __future__ import annotations

import errno
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.sandbox.seccomp import DENIED, NoFilterError, program

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
CLONE, SOCKETS = (56, 220), ((41, 198), (53, 199))
NEW_USER, THREAD = 0x10000000, 0x003D0F00


def decide(machine: str, number: int, argument: int = 0, *, architecture: int | None = None) -> int:
    """Return what the filter answers to a call with this first argument."""
    data = struct.pack("=IIQ6Q", number, architecture or MACHINES[machine][1], 0, argument, 0, 0, 0, 0, 0)
    steps = list(struct.iter_unpack("=HBBI", program(machine)))
    held = at = 0
    while True:
        code, true, false, value = steps[at]
        match code:
            case 0x20:
                (held,) = struct.unpack_from("=I", data, value)
                at += 1
            case 0x06:
                return int(value)
            case _:
                yes = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[code]
                at += 1 + (true if yes else false)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", DENIED)
def test_what_is_denied_is_denied(machine: str, name: str) -> None:
    number = DENIED[name][MACHINES[machine][0]]
    assert number is None or decide(machine, number) == ERRNO | errno.EPERM


@pytest.mark.parametrize("machine", MACHINES)
@given(number=st.integers(0, 2**30 - 1), argument=st.integers(0, 2**64 - 1))
def test_all_else_is_allowed(machine: str, number: int, argument: int) -> None:
    column = MACHINES[machine][0]
    special = {CLONE[column], 435, *(numbers[column] for numbers in SOCKETS)}
    denied = {numbers[column] for numbers in DENIED.values()}
    if number not in special | denied:
        assert decide(machine, number, argument) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("which", [0, 1])
def test_only_local_sockets_are_made(machine: str, which: int) -> None:
    number = SOCKETS[which][MACHINES[machine][0]]
    assert decide(machine, number, socket.AF_UNIX) == ALLOW
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET, 40):
        assert decide(machine, number, family) == ERRNO | errno.EAFNOSUPPORT


@pytest.mark.parametrize("machine", MACHINES)
def test_threads_are_made_and_namespaces_are_not(machine: str) -> None:
    clone = CLONE[MACHINES[machine][0]]
    assert decide(machine, clone, THREAD) == ALLOW
    assert decide(machine, clone, NEW_USER | 17) == ERRNO | errno.EPERM
    assert decide(machine, 435) == ERRNO | errno.ENOSYS


def test_another_set_of_numbers_does_not_pass_by() -> None:
    assert decide("x86_64", 0x40000000 | 41, socket.AF_INET) == ERRNO | errno.ENOSYS
    assert decide("x86_64", 102, architecture=0x40000003) == KILL


def test_there_is_no_filter_for_a_processor_that_is_not_known() -> None:
    with pytest.raises(NoFilterError, match="m68k"):
        program("m68k")
