"""This machine's ceilings, measured by a small C helper that is compiled when it is needed."""

from __future__ import annotations

import ctypes
import os
import shlex
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from timeit import repeat

SOURCE = Path(__file__).parent / "native" / "ceilings.c"
KIB = 1024
SIZES = tuple(k * KIB for k in (16, 32, 64, 128, 256, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192, 16384))


@dataclass(frozen=True)
class Ceilings:
    """Rates of one core. Keys of the dicts are numbers of cores busy at the same time.

    fma: float32 GFLOP/s. read: {cores: {bytes: GB/s}}, the better of plain and zig-zag order. barrier: us.
    call: us of a call into a compiled function with one array in and a new one out.
    """

    fma: dict[int, float]
    read: dict[int, dict[int, float]]
    barrier: dict[int, float]
    call: float

    def as_json(self) -> dict:
        return asdict(self)


def compiler() -> list[str]:
    return shlex.split(os.environ.get("CC", "cc"))


def _helper(folder: str) -> ctypes.CDLL:
    """The helper, compiled into `folder`. Raises RuntimeError with the compiler's words."""
    library = Path(folder) / "ceilings.so"
    command = [
        *compiler(),
        "-std=gnu11",
        "-O3",
        "-march=native",
        "-ffp-contract=fast",
        "-shared",
        "-fPIC",
        "-pthread",
        str(SOURCE),
        "-o",
        str(library),
    ]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode:
        raise RuntimeError(f"{' '.join(command)}: {built.stderr}")
    helper = ctypes.CDLL(str(library))
    for name, arguments in (
        ("fma", (ctypes.c_int, ctypes.c_double)),
        ("read", (ctypes.c_int, ctypes.c_size_t, ctypes.c_int, ctypes.c_double)),
        ("barrier", (ctypes.c_int, ctypes.c_int)),
    ):
        function = getattr(helper, f"ceiling_{name}")
        function.restype, function.argtypes = ctypes.c_double, arguments
    return helper


def call_overhead() -> float:
    """us of NumPy's copy of a small array through its C method: one argument checked, one array made."""
    import numpy as np

    small = np.zeros(32, np.float32)
    return min(repeat(small.copy, number=20000, repeat=15)) / 20000 * 1e6


def measure_ceilings(threads: int, seconds: float = 0.03) -> Ceilings:
    """`seconds` for each figure, of which there are some 30 for each number of cores."""
    with tempfile.TemporaryDirectory() as folder:
        helper = _helper(folder)
        cores = sorted({1, threads})
        fma = {n: helper.ceiling_fma(n, 4 * seconds) for n in cores}
        read = {
            n: {
                size: max(helper.ceiling_read(n, size, zig_zag, seconds) for zig_zag in (0, 1))
                for size in SIZES
            }
            for n in cores
        }
        barrier = {n: helper.ceiling_barrier(n, 20) if n > 1 else 0.0 for n in cores}
    return Ceilings(fma, read, barrier, call_overhead())
