"""The fault shim (shim.c): compiled for this machine, and armed from inside a process that has it before libc."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent / "shim.c"
# Kinds of calls, and what a call that is due does; shim.c has the same numbers.
OWN_MEMORY, ANY_MEMORY, OPEN, READ, WRITE, SYNC, RENAME, CLOSE, SEEK, STATUS, MODE = (1 << bit for bit in range(11))
FILES = OPEN | READ | WRITE | SYNC | RENAME | CLOSE | SEEK | STATUS | MODE
FAIL, SHORT, END, KILL_BEFORE, KILL_WITHIN, KILL_AFTER, EXIT = range(7)
EXIT_CODE = 77                  # of a process in which an EXIT was due


def missing() -> str:
    """Why faults cannot be injected here, "" where they can."""
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return "the fault shim needs Linux and glibc"
    if shutil.which(_compiler()[0]) is None:
        return f"no compiler for the fault shim: {_compiler()[0]!r} is not installed"
    if "libasan" in os.environ.get("LD_PRELOAD", "") or "libtsan" in os.environ.get("LD_PRELOAD", ""):
        return "under a sanitizer, which has its own allocator and functions of libc"
    return ""


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CC", "cc"))


def compiled(folder: Path) -> Path:
    """The shim as a shared library in `folder`, made if it is not there. Raises CalledProcessError."""
    library = folder / "fault_shim.so"
    if not library.exists():
        subprocess.run([*_compiler(), "-std=c11", "-O1", "-shared", "-fPIC", str(SOURCE), "-o", str(library), "-ldl"],
                       check=True, capture_output=True, text=True)
    return library


@dataclass(frozen=True)
class Fault:
    """What happens to the n-th call of some kinds. error: the errno of FAIL; descriptor: only calls on this one;
    every: to all calls from the n-th on."""

    name: str
    kinds: int
    outcome: int = FAIL
    error: int = errno.EIO
    descriptor: int = -1
    every: bool = False

    def setting(self, at: int) -> str:
        """For the environment of a process that nobody arms from inside."""
        return f"{self.kinds} {at} {self._count} {self.outcome} {self.error} {self.descriptor}"

    @property
    def _count(self) -> int:
        return 1 << 40 if self.every else 1


class Shim:
    """The shim that this process was started with."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        try:
            self._arm, self._disarm = self._library.fault_arm, self._library.fault_disarm
        except AttributeError:
            raise RuntimeError("this process was not started with the fault shim in LD_PRELOAD") from None
        self._arm.argtypes = [ctypes.c_uint, ctypes.c_long, ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_int]
        self._arm.restype = None
        self._disarm.restype = self._library.fault_living.restype = ctypes.c_long
        self._library.fault_code.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
        self.calls = 0

    def own(self, library: str) -> None:
        """Whose code OWN_MEMORY and `living` are about."""
        low, high = code_of(library)
        self._library.fault_code(low, high)

    def living(self) -> int:
        """Blocks that the code of `own` holds."""
        return self._library.fault_living()

    @contextmanager
    def armed(self, fault: Fault, at: int) -> Iterator[None]:
        """The fault at the `at`-th call, counted from 1, inside the block; `calls` is then how many there were."""
        self._arm(fault.kinds, at, fault._count, fault.outcome, fault.error, fault.descriptor)
        try:
            yield
        finally:
            self.calls = self._disarm()


def code_of(library: str) -> tuple[int, int]:
    """The addresses between which a loaded library's code stands."""
    spans = [tuple(int(part, 16) for part in found.groups())
             for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(library)
             if (found := re.match(r"([0-9a-f]+)-([0-9a-f]+) r.x", line))]
    return min(low for low, _ in spans), max(high for _, high in spans)


def environment(library: Path) -> dict[str, str]:
    """That of a process with the shim."""
    return {**os.environ, "LD_PRELOAD": str(library)}
