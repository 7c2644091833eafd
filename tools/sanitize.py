"""Runs the C tests (tests/csrc) under sanitizers: one line a configuration, exit code 1 if any fails.

    python tools/sanitize.py [configuration ...] [--tests name ...] [--all] [--keep folder]

Configurations: plain (threads of its own), openmp (the same build, on OpenMP's), without (built without OpenMP), clang
(the same, by another compiler; where installed), asan (AddressSanitizer and UndefinedBehaviorSanitizer), tsan
(ThreadSanitizer, which does not understand libgomp: without OpenMP), valgrind (where installed). Where tests try
everything with everything, asan and tsan, which are slow, take one combination of five, or all of them with --all.
gcc is needed; nothing of Python's but its standard library.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from cbuild import Build, BuildError, compile_tests, setup_module

SETUP = setup_module()
# valgrind is a CPU without AVX-512: it also shows that an instruction set which is not there is refused, and never run.
VALGRIND = ["valgrind", "--quiet", "--error-exitcode=9", "--leak-check=full",
            "--errors-for-leak-kinds=definite"]     # threads that sleep until the process ends keep memory of their own


@functools.cache
def after_return() -> str:
    """AddressSanitizer's setting for uses of a stack frame that has been left.

    gcc up to 13.2 may put vectors of 64 bytes where they are not aligned in the frames that this needs, on which
    AVX-512 ends the process (gcc's bug 110027): there it is off, which is printed.
    """
    if shutil.which("gcc") is None:
        return ""                       # and nothing is built, which is said there
    asked = subprocess.run(["gcc", "-dumpfullversion"], capture_output=True, text=True)
    version = tuple(map(int, re.findall(r"\d+", asked.stdout)))
    mended = version >= (13, 3) or (12, 4) <= version < (13,) or (11, 5) <= version < (12,)
    cpu = Path("/proc/cpuinfo")
    if mended or not cpu.is_file() or "avx512f" not in cpu.read_text():
        return "detect_stack_use_after_return=1"
    print(f"uses of a stack frame after its return are not looked for: gcc {asked.stdout.strip()} misplaces AVX-512's "
          "vectors in such frames (its bug 110027)", flush=True)
    return "detect_stack_use_after_return=0"


@dataclass
class Configuration:
    build: Build
    environment: dict[str, str] = field(default_factory=dict)
    runner: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)   # --isa and a name, --threading and one
    tests: list[str] = field(default_factory=list)     # empty: all
    slow: bool = False


CONFIGURATIONS = [
    Configuration(Build("plain", extra=["-fopenmp"])),
    Configuration(Build("openmp", extra=["-fopenmp"]), options=["--threading", "openmp"]),
    Configuration(Build("without", extra=[])),
    Configuration(Build("clang", compiler=["clang"])),
    Configuration(
        Build("asan", extra=["-fopenmp", *SETUP.sanitizer_flags("address,undefined")]),
        {"ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1"}, slow=True),
    Configuration(Build("tsan", extra=SETUP.sanitizer_flags("thread")),
                  {"TSAN_OPTIONS": "halt_on_error=1"}, options=["--isa", "scalar"],
                  tests=["weights", "shared", "bits", "threads"], slow=True),
    Configuration(Build("valgrind", extra=SETUP.DEBUG), runner=VALGRIND,
                  tests=["allocation", "shared", "errors", "kernels", "products", "integers"]),
]


def without_random_addresses() -> list[str]:
    """ThreadSanitizer refuses some address layouts of new kernels; setarch -R turns their shuffling off."""
    command = ["setarch", "-R"]
    if shutil.which("setarch") and subprocess.run([*command, "true"], capture_output=True).returncode == 0:
        return command
    return []


def run(configuration: Configuration, tests: list[str], whole: bool, folder: Path) -> bool:
    name = configuration.build.name
    for needed in (configuration.build.compiler[0], *configuration.runner[:1]):
        if shutil.which(needed) is None:
            print(f"{name:9} skipped: {needed} is not installed")
            return True
    started = time.monotonic()
    try:
        program = compile_tests(configuration.build, folder / name)
    except BuildError as error:
        print(f"{name:9} FAILED to build\n{error}")
        return False
    runner = configuration.runner + (without_random_addresses() if name == "tsan" else [])
    environment = {**os.environ, **configuration.environment}
    if "ASAN_OPTIONS" in configuration.environment:
        environment["ASAN_OPTIONS"] += f":{after_return()}"
    fewer = ["--one-in", "5"] if configuration.slow and not whole else []
    done = subprocess.run([*runner, str(program), *configuration.options, *fewer, *(tests or configuration.tests)],
                          capture_output=True, text=True, env=environment)
    seconds = time.monotonic() - started
    closing = (done.stdout.strip().splitlines() or ["no output"])[-1]
    verdict = "ok" if done.returncode == 0 else f"FAILED, exit code {done.returncode}"
    print(f"{name:9} {verdict}: {closing} ({seconds:.0f} s)", flush=True)
    if done.returncode:
        print(done.stdout + done.stderr)
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [configuration.build.name for configuration in CONFIGURATIONS]
    parser.add_argument("configuration", nargs="*", help=f"which to run, of {', '.join(names)}; default: all")
    parser.add_argument("--tests", nargs="*", default=[],
                        help="names of C tests; default: all, fewer where they are slow")
    parser.add_argument("--all", action="store_true", help="all combinations under slow sanitizers, too")
    parser.add_argument("--keep", type=Path, help="build in this folder and leave it")
    chosen = parser.parse_args()
    if unknown := set(chosen.configuration) - set(names):
        parser.error(f"unknown configuration: {', '.join(sorted(unknown))}")
    if shutil.which("gcc") is None:
        print("gcc is not installed", file=sys.stderr)
        return 2
    folder = chosen.keep or Path(tempfile.mkdtemp(prefix="lstm-engine-sanitize-"))
    try:
        results = [run(configuration, chosen.tests, chosen.all, folder) for configuration in CONFIGURATIONS
                   if not chosen.configuration or configuration.build.name in chosen.configuration]
    finally:
        if chosen.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
