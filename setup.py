"""Builds the C core and its bindings; all metadata is in pyproject.toml.

Every instruction set is a static library of its own with its own flags, so that no other file can pick up
instructions the CPU may lack. Environment:
    LSTM_ENGINE_NO_OPENMP=1     build without OpenMP (threads of its own are always there)
    LSTM_ENGINE_BLAS=openblas   link a BLAS found by pkg-config (openblas, blis, mkl, or a package's own name) that has
                                cblas_sgemm with 32-bit integers, instead of the one that NumPy carries
    LSTM_ENGINE_SANITIZE=address,undefined   compile and link with sanitizers (tools/sanitize_extension.py runs the
                                tests so; "thread" builds without OpenMP)
    CC                          the compiler, as ever. What it compiles for, and which instruction sets it knows, is
                                asked of it: CC=aarch64-linux-gnu-gcc builds for NEON on any machine
    ARCHFLAGS                   on macOS the one architecture to build for, "-arch arm64"; without it this machine's,
                                also where Python itself is universal2
"""

import os
import platform
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

MSVC = os.name == "nt"
INCLUDE = ["csrc", "csrc/include"]
FLAGS = (["/O2", "/std:c11"] if MSVC else
         ["-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden"])
# With sanitizers, and for valgrind. Kernels are made of functions that are always inlined into fully unrolled tiles;
# with every access instrumented that takes gcc minutes a file. Left as calls they are the same C, checked just as well.
DEBUG = ["-O1", "-g1", "-fno-omit-frame-pointer", "-Dalways_inline=unused"]
AVX2 = ["-mavx2", "-mfma", "-mf16c"]
AVX512 = ["-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", *AVX2, "-mprefer-vector-width=512"]
FOLDERS = ("base", "kernels", "blas", "layers", "model", "steps")


def isa_flags(machine: str) -> dict[str, list[str]]:
    """Compile flags of the kernel files of each instruction set a machine ("x86_64", "aarch64") has."""
    machine = machine.lower()
    if machine in ("x86_64", "amd64"):
        return {"scalar": [], "avx2": AVX2, "avxvnni": [*AVX2, "-mavxvnni"], "avx512": AVX512,
                "avx512vnni": [*AVX512, "-mavx512vnni"], "avx512bf16": [*AVX512, "-mavx512bf16"],
                "avx512amx": [*AVX512, "-mavx512vnni", "-mamx-tile", "-mamx-int8", "-mamx-bf16"]}
    if machine in ("aarch64", "arm64"):
        return {"scalar": [], "neon": [], "neondot": ["-march=armv8.2-a+dotprod"]}
    return {"scalar": []}


# A line of C that only a compiler of the instruction set takes.
PROBES = {
    "avx2": "#include <immintrin.h>\n__m256 f(__m256 a) { return _mm256_fmadd_ps(a, a, a); }\n",
    "avx512": "#include <immintrin.h>\n__m512 f(__m512 a) { return _mm512_fmadd_ps(a, a, _mm512_and_ps(a, a)); }\n",
    "avxvnni": "#include <immintrin.h>\n__m256i f(__m256i a) { return _mm256_dpbusd_avx_epi32(a, a, a); }\n",
    "avx512vnni": "#include <immintrin.h>\n__m512i f(__m512i a) { return _mm512_dpbusd_epi32(a, a, a); }\n",
    "avx512bf16": "#include <immintrin.h>\n__m512 f(__m512 a, __m512bh b) { return _mm512_dpbf16_ps(a, b, b); }\n",
    "avx512amx": "#include <immintrin.h>\nvoid f(void) { _tile_dpbusd(0, 1, 2); _tile_dpbf16ps(0, 1, 2); }\n",
    "neondot": "#include <arm_neon.h>\nint32x4_t f(int32x4_t a, int8x16_t b) { return vdotq_s32(a, b, b); }\n",
    "neon": "#include <arm_neon.h>\nfloat64x2_t f(float64x2_t a) { return vfmaq_f64(a, a, a); }\n",
}


class NoCompiler(Exception):
    """There is nothing to compile C with; the message is a sentence that says what to do."""


def compiler_command() -> list[str]:
    """The compiler that setuptools runs, and for which architecture where the system's has several."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    return command + shlex.split(os.environ.get("ARCHFLAGS", ""))


def _run_compiler(compiler: list[str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run([*compiler, *arguments], capture_output=True, text=True)
    except OSError as error:
        raise NoCompiler(
            f"lstm-engine is built from C source, and the compiler {compiler[0]!r} cannot be run ({error.strerror}): "
            "install one (Debian and Ubuntu: apt install gcc python3-dev; Fedora: dnf install gcc python3-devel; "
            "macOS: xcode-select --install), or name it in the environment variable CC") from None


def target_machine(compiler: list[str]) -> str:
    """The machine that a compiler makes code for: "x86_64", "aarch64", or "" for another. Raises NoCompiler."""
    asked = _run_compiler(compiler, "-dM", "-E", "-x", "c", os.devnull)
    macros = {line.split()[1] for line in asked.stdout.splitlines() if line.startswith("#define ")}
    for machine in ("x86_64", "aarch64"):
        if f"__{machine}__" in macros and "__ILP32__" not in macros:
            return machine
    return ""


def probed_isas(compiler: list[str], machine: str) -> list[str]:
    """The instruction sets of a machine that the compiler knows; which were left out is said."""
    known = []
    with tempfile.TemporaryDirectory() as folder:
        for isa, flags in isa_flags(machine).items():
            source = Path(folder, f"{isa}.c")
            source.write_text(PROBES.get(isa, ""))
            made = _run_compiler(compiler, *flags, "-c", str(source), "-o", str(source.with_suffix(".o")))
            if isa == "scalar" or made.returncode == 0:
                known.append(isa)
            else:
                print(f"lstm-engine: {compiler[0]} cannot compile for {isa}; building without it")
    return known


def one_architecture() -> None:
    """On macOS, build for one architecture: instruction sets have flags and files of their own, which one object for
    two machines cannot have. Python itself may be universal2; ARCHFLAGS says for which machine, by default this one."""
    given = os.environ.get("ARCHFLAGS")
    wanted = shlex.split(given or "").count("-arch")
    if wanted > 1:
        raise SystemExit(f"lstm-engine: ARCHFLAGS={given!r} asks for several architectures in one build: build a wheel "
                         "for each and join them with delocate-merge")
    if given is None and (sysconfig.get_config_var("CFLAGS") or "").count("-arch ") > 1:
        machine = platform.machine()
        os.environ["ARCHFLAGS"] = f"-arch {machine}"
        os.environ.setdefault("_PYTHON_HOST_PLATFORM", sysconfig.get_platform().replace("universal2", machine))


def isa_macros(isas: Iterable[str]) -> list[tuple[str, str]]:
    """What tells the core which kernels are there."""
    return [(f"LE_HAVE_{isa.upper()}", "1") for isa in isas if isa != "scalar"]


def core_sources() -> list[str]:
    """Every C file of the core but the kernel variants, relative to this folder."""
    return sorted(path.as_posix() for folder in FOLDERS for path in Path("csrc", folder).glob("*.c")
                  if not path.name.startswith("kernels_"))


def isa_sources(isa: str) -> list[str]:
    return sorted(path.as_posix() for path in Path("csrc/kernels").glob(f"kernels_{isa}_*.c"))


def openmp_flags(compiler: list[str]) -> list[str]:
    """The compiler's OpenMP flag, if a small program with it compiles and links."""
    if os.environ.get("LSTM_ENGINE_NO_OPENMP") == "1":
        return []
    flag = "/openmp" if MSVC else "-fopenmp"
    if MSVC:
        return [flag]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
        probe = _run_compiler(compiler, flag, str(source), "-o", str(Path(folder, "probe")))
    if probe.returncode:
        print("lstm-engine: the compiler has no OpenMP; building with threads of its own alone")
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
    try:
        asked = subprocess.run(["pkg-config", "--cflags", "--libs", package], capture_output=True, text=True)
    except FileNotFoundError:
        raise SystemExit(f"LSTM_ENGINE_BLAS={name}: pkg-config is needed to find it") from None
    if asked.returncode:
        raise SystemExit(f"LSTM_ENGINE_BLAS={name}: {asked.stderr.strip()}")
    flags = shlex.split(asked.stdout)
    folders = [flag for flag in flags if flag.startswith("-I")]
    return ["-DLE_BLAS_LINKED", *folders], [flag for flag in flags if not flag.startswith("-I")]


def sanitizer_flags(names: str) -> list[str]:
    """Flags that compile with sanitizers ("address,undefined", "thread"). Whatever they find ends the process; Python's
    own -fwrapv would hide overflows of signed integers."""
    return [f"-fsanitize={names}", "-fno-sanitize-recover=all", "-fno-wrapv", *DEBUG]


def headers() -> list[str]:
    return sorted(path.as_posix() for path in Path("csrc").rglob("*.h"))


def older(made: str, than: Iterable[str]) -> bool:
    """Whether a file is not there, or older than one of others."""
    return not Path(made).exists() or any(Path(file).stat().st_mtime > Path(made).stat().st_mtime for file in than)


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def settings_file(settings: list[list[str]]) -> str:
    """A file newer than every object compiled with other flags, so that a change of the environment recompiles."""
    path, text = Path("build", "settings.txt"), "\n".join(map(shlex.join, settings)) + "\n"
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return path.as_posix()


def main() -> None:
    import numpy
    from Cython.Build import cythonize
    from setuptools import Extension, setup
    from setuptools.command.build_clib import build_clib
    from setuptools.command.build_ext import build_ext

    if sys.platform == "darwin":
        one_architecture()
    compiler, missing = compiler_command(), ""
    try:
        machine = platform.machine() if MSVC else target_machine(compiler)
        isas = list(isa_flags(machine)) if MSVC else probed_isas(compiler, machine)
        openmp = openmp_flags(compiler)
    except NoCompiler as error:                     # metadata and source archives need none
        machine, isas, openmp, missing = platform.machine(), ["scalar"], [], str(error)
    sanitizers = os.environ.get("LSTM_ENGINE_SANITIZE")
    # Without -g0 Python's own flags would put 9 MB of debugging information into the wheel.
    quiet = [] if MSVC else ["-g0"]
    flags = FLAGS + (sanitizer_flags(sanitizers) if sanitizers else quiet)
    if sanitizers and "thread" in sanitizers.split(","):
        openmp = []                                 # ThreadSanitizer does not understand libgomp
    blas_compile, blas_link = linked_blas()
    settings = settings_file([compiler, isas, flags, openmp, blas_compile, blas_link])

    def library(name: str, files: list[str], own_flags: list[str]) -> tuple[str, dict]:
        return name, {"sources": files, "include_dirs": INCLUDE, "macros": isa_macros(isas),
                      "obj_deps": {"": [*headers(), settings]}, "cflags": flags + own_flags}

    libraries = [library("le_core", core_sources(), openmp + blas_compile)]
    libraries += [library(f"le_{isa}", isa_sources(isa), isa_flags(machine)[isa]) for isa in isas]

    class BuildLibraries(build_clib):
        def run(self) -> None:
            if missing:
                raise SystemExit(missing)
            super().run()

        def build_libraries(self, libraries: list) -> None:
            # An archive is added to: without this a file that is no longer there would stay in it.
            for name, _ in libraries:
                Path(self.build_clib, self.compiler.library_filename(name)).unlink(missing_ok=True)
            if not MSVC:
                self.compile_at_once(libraries)
            super().build_libraries(libraries)          # what is compiled is left as it is

        def compile_at_once(self, libraries: list) -> None:
            """Compile what is older than its source, a header or the settings, one file on each core at a time."""
            def compile_one(source: str, build: dict) -> None:
                made, = self.compiler.object_filenames([source], output_dir=self.build_temp)
                if older(made, [source, *build["obj_deps"][""]]):
                    self.compiler.compile([source], output_dir=self.build_temp, macros=build["macros"],
                                          include_dirs=build["include_dirs"], extra_postargs=build["cflags"],
                                          debug=self.debug)

            with ThreadPoolExecutor(cores()) as pool:
                # The largest first: the last one to end is then a small one.
                work = sorted(((Path(source).stat().st_size, source, build) for _, build in libraries
                               for source in build["sources"]), key=lambda each: ("kernels_" not in each[1], -each[0]))
                for done in [pool.submit(compile_one, source, build) for _, source, build in work]:
                    done.result()

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
        libraries=[name for name, _ in libraries] + ([] if MSVC else ["m"]),
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        extra_compile_args=flags,
        extra_link_args=openmp + blas_link + ([f"-fsanitize={sanitizers}"] if sanitizers else []),
        depends=[settings, *headers(), *core_sources(),
                 *(file for isa in isas for file in isa_sources(isa))],
    )
    setup(libraries=libraries, ext_modules=cythonize([extension]),
          cmdclass={"build_clib": BuildLibraries, "build_ext": BuildExtension})


# A build back end runs this file as __main__; the tools import it for its flags and lists of files.
if __name__ == "__main__":
    main()
