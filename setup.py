"""Builds the C core and its bindings; all metadata is in pyproject.toml.

Every instruction set is a static library of its own with its own flags, so that no other file can pick up
instructions the CPU may lack. Environment:
    LSTM_ENGINE_NO_OPENMP=1     build without OpenMP (one thread)
    LSTM_ENGINE_BLAS=openblas   link a BLAS found by pkg-config (openblas, blis, mkl-dynamic-lp64-seq, ...) instead of
                                the one that NumPy carries
    LSTM_ENGINE_SANITIZE=address,undefined   compile and link with sanitizers
"""

import os
import platform
import shlex
import subprocess
import tempfile
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

MSVC = os.name == "nt"
MACHINE = platform.machine().lower()
INCLUDE = ["csrc", "csrc/include"]
FLAGS = ["/O2", "/std:c11"] if MSVC else ["-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden"]
AVX512 = ["-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-mfma", "-mavx2", "-mprefer-vector-width=512"]
ISA_FLAGS = {"scalar": []}
MACROS = []
if MACHINE in ("x86_64", "amd64"):
    ISA_FLAGS |= {"avx2": ["-mavx2", "-mfma"], "avx512": AVX512}
elif MACHINE in ("aarch64", "arm64"):
    ISA_FLAGS |= {"neon": []}
MACROS += [(f"LE_HAVE_{isa.upper()}", "1") for isa in ISA_FLAGS if isa != "scalar"]
SANITIZE = os.environ.get("LSTM_ENGINE_SANITIZE")
SANITIZE_FLAGS = [f"-fsanitize={SANITIZE}", "-g", "-fno-omit-frame-pointer"] if SANITIZE else []


def openmp_flags() -> list[str]:
    """The compiler's OpenMP flag, if a small program with it compiles and links."""
    if os.environ.get("LSTM_ENGINE_NO_OPENMP") == "1":
        return []
    flag = "/openmp" if MSVC else "-fopenmp"
    if MSVC:
        return [flag]
    compiler = shlex.split(os.environ.get("CC", "cc"))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
        probe = subprocess.run([*compiler, flag, str(source), "-o", str(Path(folder, "probe"))], capture_output=True)
    if probe.returncode:
        print("lstm-engine: the compiler has no OpenMP; building for one thread")
        return []
    return [flag]


def linked_blas() -> tuple[list[str], list[str]]:
    """Compile and link flags of the BLAS named by LSTM_ENGINE_BLAS."""
    name = os.environ.get("LSTM_ENGINE_BLAS")
    if not name:
        return [], []
    if name == "accelerate":
        return ["-DLE_BLAS_LINKED"], ["-framework", "Accelerate"]
    package = {"mkl": "mkl-dynamic-lp64-seq"}.get(name, name)
    ask = ["pkg-config", "--cflags", "--libs", package]
    flags = shlex.split(subprocess.run(ask, check=True, capture_output=True, text=True).stdout)
    return (["-DLE_BLAS_LINKED"] + [f for f in flags if f.startswith("-I")], [f for f in flags if not f.startswith("-I")])


OPENMP = openmp_flags()
BLAS_COMPILE, BLAS_LINK = linked_blas()


def sources(*folders: str) -> list[str]:
    return sorted(str(path) for folder in folders for path in Path("csrc", folder).glob("*.c")
                  if not path.name.startswith("kernels_"))


def library(name: str, files: list[str], flags: list[str]) -> tuple[str, dict]:
    headers = sorted(str(path) for path in Path("csrc").rglob("*.h"))
    return name, {"sources": files, "include_dirs": INCLUDE, "macros": MACROS, "obj_deps": {"": headers},
                  "cflags": FLAGS + SANITIZE_FLAGS + flags}


LIBRARIES = [library("le_core", sources("base", "kernels", "blas", "layers", "model"), OPENMP + BLAS_COMPILE)]
LIBRARIES += [library(f"le_{isa}", sorted(str(p) for p in Path("csrc/kernels").glob(f"kernels_{isa}_*.c")), flags)
              for isa, flags in ISA_FLAGS.items()]


class BuildExtension(build_ext):
    def run(self) -> None:
        # An editable install runs build_ext alone: the libraries must be there first.
        self.run_command("build_clib")
        self.library_dirs.append(self.get_finalized_command("build_clib").build_clib)
        super().run()


extension = Extension(
    "lstm_engine._core",
    ["lstm_engine/_core.pyx"],
    include_dirs=["csrc/include", numpy.get_include()],
    # The core calls the kernels: it stands before them for linkers that read once.
    libraries=[name for name, _ in LIBRARIES] + ([] if MSVC else ["m"]),
    define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
    extra_compile_args=FLAGS + SANITIZE_FLAGS,
    extra_link_args=OPENMP + BLAS_LINK + SANITIZE_FLAGS,
    depends=sorted(str(path) for path in Path("csrc").rglob("*.[ch]")),
)

setup(libraries=LIBRARIES, ext_modules=cythonize([extension]),
      cmdclass={"build_ext": BuildExtension})
