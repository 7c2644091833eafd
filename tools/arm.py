"""Cross-compiles the C tests for AArch64, runs them on NEON under qemu's user emulation, prints closing lines: all of
them on a CPU that has everything, those of weights of fewer bits again on one without dot products.

    python tools/arm.py [--keep folder] [--require]

Needs Debian's gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user. Where they are missing it says so and
ends with exit code 0, or 1 with --require.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cbuild import Build, BuildError, compile_tests

COMPILER = "aarch64-linux-gnu-gcc"
EMULATORS = ("qemu-aarch64", "qemu-aarch64-static")
LIBRARIES = "/usr/aarch64-linux-gnu"
CPUS = (("max", []), ("cortex-a53", ["integers", "small"]))     # and names of tests; none: all
PACKAGES = "gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"


def run_tests(program: list[str], cpu: str, tests: list[str]) -> int:
    """The exit code of a program of tests, after its closing line, and all that it said if it failed."""
    started = time.monotonic()
    done = subprocess.run([*program, "--isa", "neon", *tests], capture_output=True, text=True)
    closing = (done.stdout.strip().splitlines() or ["no output"])[-1]
    verdict = "ok" if done.returncode == 0 else f"FAILED, exit code {done.returncode}"
    print(f"arm {cpu} {verdict}: {closing} ({time.monotonic() - started:.0f} s)", flush=True)
    if done.returncode:
        print(done.stdout + done.stderr)
    return done.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="build in this folder and leave it")
    parser.add_argument("--require", action="store_true", help="fail where the tools are not installed")
    parser.add_argument("--tests", nargs="*", default=[], help="names of C tests; default: all")
    chosen = parser.parse_args()
    emulator = next((name for name in EMULATORS if shutil.which(name)), None)
    missing = [what for what, there in ((COMPILER, shutil.which(COMPILER)), ("qemu-aarch64", emulator)) if not there]
    if missing or emulator is None:
        print(f"arm skipped: {' and '.join(missing)} not installed (Debian: {PACKAGES})")
        return 1 if chosen.require else 0
    folder = chosen.keep or Path(tempfile.mkdtemp(prefix="lstm-engine-arm-"))
    # Threads are pthreads: the cross compiler's libgomp is one more package, and qemu runs either.
    build = Build("arm", compiler=[COMPILER], machine="aarch64", extra=["-DLE_THREADS_PTHREAD"])
    try:
        program = compile_tests(build, folder)
        failed = [run_tests([emulator, "-cpu", cpu, "-L", LIBRARIES, str(program)], cpu, chosen.tests or tests)
                  for cpu, tests in CPUS]
    except BuildError as error:
        print(f"arm FAILED to build\n{error}")
        return 1
    finally:
        if chosen.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    return int(any(failed))


if __name__ == "__main__":
    sys.exit(main())
