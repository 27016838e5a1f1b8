"""What a process gives up for good, so that an attacker who takes it over reaches nothing: Landlock and seccomp.

Linux's Landlock takes away all files, the network, and signals to and abstract sockets of other processes
(landlock(7)). seccomp takes away every system call but the few that computing and open connections need (seccomp(2)).
Both are called through the C library. `confine` says which of them the kernel lacks, and its caller must pass that on.
"""

import ctypes
import os
import platform
import resource
import sys
from typing import Any

MECHANISMS = ("landlock", "seccomp")

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38

# landlock(7): the rights over files that each version of the interface knows. Those over TCP came with the fourth
# version, the scopes of abstract sockets and signals with the sixth. Its calls have the same numbers on all processors.
_CREATE_RULESET, _RESTRICT_SELF = 444, 446
_ASK_VERSION = 1
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NETWORK_SINCE, _NETWORK = 4, 0b11
_SCOPES_SINCE, _SCOPES = 6, 0b11

# seccomp(2), bpf(2): a filter is a program over a record of the call's number and the processor's way of calling.
_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_AT_NUMBER, _AT_ARCH = 0, 4
_ALLOW, _KILL, _FAIL = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
_EPERM = 1
_ARCHES = {"x86_64": (0xC000_003E, 317), "aarch64": (0xC000_00B7, 277)}
"""The audit number of each processor's calling convention, and the number of seccomp in it.

A call by any other convention (32-bit calls on a 64-bit processor) ends the process; x32 has numbers of its own.
"""

_CALLS = {
    # name: (x86-64, arm64); None where a processor has no such call
    "read": (0, 63),
    "write": (1, 64),
    "recvfrom": (45, 207),
    "sendto": (44, 206),
    "close": (3, 57),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    "futex": (202, 98),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "setitimer": (38, 103),
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "getcpu": (309, 168),
    "getrusage": (98, 165),
    "getrandom": (318, 278),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
"""What decoding needs: memory, time, the open connection, its own end. None opens, starts or names anything else."""


def confine() -> dict[str, bool]:
    """Give up files, network, other processes and new programs for good; tell which mechanisms took effect.

    The process must have one thread, and have imported all it will ever need. Of `MECHANISMS` those that the kernel or
    the processor lacks are False.
    """
    held = dict.fromkeys(MECHANISMS, False)
    libc = ctypes.CDLL(None)
    if sys.platform == "linux":
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        held["landlock"] = _landlock(libc)
    # No new descriptor of any kind, even where the kernel has neither mechanism. Open ones go on working.
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    if sys.platform == "linux":
        held["seccomp"] = _seccomp(libc)
    return held


def hide() -> bool:
    """Keep other processes of the same user out of this one's memory and environment (PR_SET_DUMPABLE, prctl(2))."""
    return sys.platform == "linux" and bool(ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)


def end_with_parent(signal_number: int) -> None:
    """Have this process sent a signal when the thread that started it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)


class _Rules(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _Step(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("value", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("steps", ctypes.POINTER(_Step)))


def _landlock(libc: Any) -> bool:
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)
    if version < 1:
        return False
    rules = _Rules(
        (1 << _FILE_RIGHTS[min(version, max(_FILE_RIGHTS))]) - 1,
        _NETWORK if version >= _NETWORK_SINCE else 0,
        _SCOPES if version >= _SCOPES_SINCE else 0,
    )
    # The set names what is handled. It holds no exception, so all of that is refused.
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(ctypes.sizeof(rules)), 0)
    if ruleset < 0:
        return False
    held = libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return bool(held)


def _seccomp(libc: Any) -> bool:
    machine = platform.machine()
    if machine not in _ARCHES or sys.maxsize < 1 << 32:
        return False
    arch, own_number = _ARCHES[machine]
    column = list(_ARCHES).index(machine)
    numbers = [call[column] for call in _CALLS.values()]
    allowed = [number for number in numbers if number is not None]
    steps = [
        _Step(_LOAD, 0, 0, _AT_ARCH),
        _Step(_JUMP_IF_EQUAL, 1, 0, arch),
        _Step(_RETURN, 0, 0, _KILL),
        _Step(_LOAD, 0, 0, _AT_NUMBER),
        # Jump to the last step, past the remaining comparisons and the failure.
        *(_Step(_JUMP_IF_EQUAL, len(allowed) - i, 0, number) for i, number in enumerate(allowed)),
        _Step(_RETURN, 0, 0, _FAIL | _EPERM),
        _Step(_RETURN, 0, 0, _ALLOW),
    ]
    program = _Program(len(steps), (_Step * len(steps))(*steps))
    return bool(libc.syscall(own_number, _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(program)) == 0)
