"""Takes from a process what it no longer needs, before it looks at a stranger's bytes.

POSIX: limits of address space, CPU time, files written and core dumps. Linux on x86-64 and AArch64 also: an allow-list
of system calls (seccomp). A confined process can read the files it has open, write to the descriptors named, ask for
memory and end; it can open, create, remove or rename nothing, start nothing, reach no network, and look into no other
process. What is not allowed fails with EPERM. Where the system has no such filter, `missing` says so.
"""

from __future__ import annotations

import ctypes
import errno
import math
import os
import platform
import sys
from collections.abc import Sequence
from typing import Any

_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER, _EVERY_THREAD = 1, 1
_PROT_EXEC = 4

# Classic BPF (linux/bpf_common.h): load a word of seccomp_data, compare it with a constant, return.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32 = 0x40000000               # x86-64: system calls of another table, by the same entry

# read lseek fstat pread64 readv close · brk munmap mremap madvise · futex sched_yield · rt_sigaction rt_sigprocmask
# rt_sigreturn · clock_gettime getpid gettid getrandom · exit exit_group
_TABLES: dict[str, dict[str, Any]] = {
    "x86_64": {"audit": 0xC000003E, "seccomp": 317, "write": 1, "mmap": 9, "mprotect": 10,
               "plain": (0, 8, 5, 17, 19, 3, 12, 11, 25, 28, 202, 24, 13, 14, 15, 228, 39, 186, 318, 60, 231)},
    "aarch64": {"audit": 0xC00000B7, "seccomp": 277, "write": 64, "mmap": 222, "mprotect": 226,
                "plain": (63, 62, 80, 67, 65, 57, 214, 215, 216, 233, 98, 124, 134, 135, 139, 113, 172, 178, 278,
                          93, 94)},
}


class _Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint16), ("if_true", ctypes.c_uint8), ("if_false", ctypes.c_uint8),
                ("k", ctypes.c_uint32)]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction))]


class CannotConfine(Exception):
    """A limit or filter that this system has could not be set."""


def missing() -> str:
    """Which part of the confinement this system lacks, "" for none."""
    if os.name != "posix":
        return f"no limits of memory and CPU time, and no filter of system calls, on {sys.platform}"
    if not sys.platform.startswith("linux"):
        return f"no filter of system calls on {sys.platform}"
    if platform.machine() not in _TABLES or sys.maxsize < 2**32:
        return f"no filter of system calls for {platform.architecture()[0]} Python on {platform.machine()}"
    # With no program to read, a kernel that has filters answers EFAULT.
    if _seccomp(None) not in (0, errno.EFAULT):
        return "no filter of system calls: this kernel, or what it runs under, does not allow one"
    return ""


def limit(memory: int, cpu_seconds: float) -> None:
    """Limit this process from here on: bytes of further address space, CPU time, files written, core dumps.

    Raises CannotConfine where the system refuses; does nothing where it has no such limits (Windows).
    """
    try:
        import resource
        import signal
    except ImportError:
        return
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    used = resource.getrusage(resource.RUSAGE_SELF)
    limits = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": 0,
              "RLIMIT_CPU": math.ceil(used.ru_utime + used.ru_stime + cpu_seconds) + 1}
    if sys.platform.startswith("linux"):          # macOS knows the limit of address space, and does not hold to it
        with open("/proc/self/statm", "rb") as file:
            limits["RLIMIT_AS"] = int(file.read().split()[0]) * resource.getpagesize() + memory
    for name, value in limits.items():
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (ceiling, ceiling))
        except (OSError, ValueError) as error:
            raise CannotConfine(f"{name}: {error}") from error


def filter_system_calls(writable: Sequence[int]) -> None:
    """Allow no system call but those listed above from here on, in every thread; writing only to these descriptors.

    Cannot be undone. Raises CannotConfine where a system that has filters refuses one; does nothing where `missing`
    says that there are none.
    """
    if missing():
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise CannotConfine(f"no_new_privs: {os.strerror(ctypes.get_errno())}")
    code = _program(_TABLES[platform.machine()], writable)
    instructions = (_Instruction * len(code))(*(_Instruction(*one) for one in code))
    failed = _seccomp(_Program(len(code), instructions))
    if failed:
        raise CannotConfine(f"seccomp: {os.strerror(failed)}")


def _seccomp(program: _Program | None) -> int:
    """Install a filter; 0, or the error number."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = _TABLES[platform.machine()]["seccomp"]
    made = libc.syscall(ctypes.c_long(number), ctypes.c_uint(_SET_MODE_FILTER), ctypes.c_uint(_EVERY_THREAD),
                        None if program is None else ctypes.byref(program))
    return 0 if made == 0 else ctypes.get_errno() if made < 0 else errno.EBUSY


def _program(table: dict[str, Any], writable: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """The filter: blocks that each end in a verdict for one system call, and are jumped over for any other."""
    code = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, table["audit"]), (_RETURN, 0, 0, _KILL),
            (_LOAD, 0, 0, _NUMBER), (_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _REFUSE)]

    def block(number: int, body: list[tuple[int, int, int, int]]) -> None:
        code.append((_EQUAL, 0, len(body), number))
        code.extend(body)

    for number in table["plain"]:
        block(number, [(_RETURN, 0, 0, _ALLOW)])
    block(table["write"], [(_LOAD, 0, 0, _ARGUMENTS),
                           *(line for descriptor in writable
                             for line in ((_EQUAL, 0, 1, descriptor), (_RETURN, 0, 0, _ALLOW))),
                           (_RETURN, 0, 0, _REFUSE)])
    for name in ("mmap", "mprotect"):             # memory, but none that can be executed
        block(table[name], [(_LOAD, 0, 0, _ARGUMENTS + 2 * 8), (_ANY_BIT, 0, 1, _PROT_EXEC), (_RETURN, 0, 0, _REFUSE),
                            (_RETURN, 0, 0, _ALLOW)])
    return [*code, (_RETURN, 0, 0, _REFUSE)]
