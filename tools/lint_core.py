"""Lints the C core and its bindings: one line a linter, its words and exit code 1 where it found something.

    python tools/lint_core.py [--fix]

clang-format (.clang-format) over csrc, tests/csrc and bench/native, cython-lint over the bindings (both from PyPI, in
the extra `dev`), Cython's own warnings, and gcc's static analyzer over all of csrc but the kernels, which have no
memory of their own. What is not installed is skipped by name. --fix: write the C files as clang-format would have them.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from pathlib import Path

from cbuild import ROOT, setup_module

# Pointers that are null together with another are beyond gcc 12: a sorted list is there where there are lengths, the
# second walk of an arena finds the memory that the first one measured. Leaks and double frees it finds.
ANALYZER = ["-std=c11", "-O1", "-fanalyzer", "-Wno-analyzer-null-dereference", "-Wno-analyzer-null-argument",
            "-Werror", "-Icsrc", "-Icsrc/include"]


def c_files() -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for folder in ("csrc", "tests/csrc", "bench/native")
                  for path in (ROOT / folder).rglob("*.[ch]"))


def bindings() -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for pattern in ("*.pyx", "*.pxd", "bindings/*.pxi")
                  for path in (ROOT / "lstm_engine").glob(pattern))


def output(*command: str) -> str:
    """What a linter says, "" where it found nothing."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip() or f"exit code {done.returncode}" if done.returncode else ""


def formatted() -> str:
    return output("clang-format", "--dry-run", "-Werror", *c_files())


def bindings_linted() -> str:
    return output("cython-lint", "--max-line-length", "120", *bindings())


def bindings_compiled() -> str:
    with tempfile.TemporaryDirectory() as folder:
        return output("cython", "-Werror", "-o", str(Path(folder, "core.c")), "lstm_engine/_core.pyx")


def analyzed() -> str:
    sources = [path for path in c_files() if path.startswith(tuple(f"csrc/{f}/" for f in setup_module().FOLDERS))
               and path.endswith(".c") and "/kernels_" not in path]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(cpu_count() or 1) as pool:
        found = pool.map(lambda path: output("gcc", *ANALYZER, "-c", path, "-o", str(Path(folder, Path(path).stem))),
                         sources)
        return "\n".join(filter(None, found))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fix", action="store_true", help="format the C files")
    if parser.parse_args().fix:
        subprocess.run(["clang-format", "-i", *c_files()], cwd=ROOT, check=True)
    failed = 0
    for name, lint in (("clang-format", formatted), ("cython-lint", bindings_linted),
                       ("cython", bindings_compiled), ("gcc", analyzed)):
        if shutil.which(name) is None:
            print(f"{name:12} skipped: not installed")
            continue
        started = time.monotonic()
        found = lint()
        failed |= bool(found)
        print(f"{name:12} {'FAILED' if found else 'ok'} ({time.monotonic() - started:.0f} s)", *filter(None, [found]),
              sep="\n" if found else "", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
