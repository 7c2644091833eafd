"""Cross-compiles the C tests for AArch64, runs them on NEON under qemu's user emulation, prints their closing line.

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
PACKAGES = "gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"


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
    started = time.monotonic()
    # Threads are pthreads: the cross compiler's libgomp is one more package, and qemu runs either.
    build = Build("arm", compiler=[COMPILER], machine="aarch64", extra=["-DLE_THREADS_PTHREAD"])
    try:
        program = compile_tests(build, folder)
        done = subprocess.run([emulator, "-L", LIBRARIES, str(program), "--isa", "neon", *chosen.tests],
                              capture_output=True, text=True)
    except BuildError as error:
        print(f"arm FAILED to build\n{error}")
        return 1
    finally:
        if chosen.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    closing = (done.stdout.strip().splitlines() or ["no output"])[-1]
    verdict = "ok" if done.returncode == 0 else f"FAILED, exit code {done.returncode}"
    print(f"arm {verdict}: {closing} ({time.monotonic() - started:.0f} s)")
    if done.returncode:
        print(done.stdout + done.stderr)
    return 1 if done.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
