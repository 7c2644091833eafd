"""Runs the Python tests with the extension under sanitizers: exit code 1 at any report, or if a test fails.

    python tools/sanitize_extension.py [--sanitizer names] [--keep folder] [--tree folder] [pytest arguments]

The extension is built in a copy of the tree, beside the one in place. The process has neither torch nor Keras: tests
that need them are skipped and counted; ONNX Runtime answers from a plain process (tools/sanitized). Children that tests
start are under the sanitizer too, and what they report counts; the processes that read untrusted files are not
(importers/reading/sandbox.py hands them no such setting, and the sanitizer's address space would break their limit of
memory).
With `--sanitizer thread` it is built without OpenMP, whose threads are not understood; that is for tests/threads.
gcc is needed, and what the tests need. Without paths: tests/unit, tests/hostile, tests/property, tests/threads and the
models of tests/differential/test_rows.py.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cbuild import ROOT
from sanitize import after_return, without_random_addresses

PATHS = ["tests/unit", "tests/hostile", "tests/property", "tests/threads", "tests/differential/test_rows.py"]
NOT_COPIED = shutil.ignore_patterns("build", "dist", "*.so", "*.pyd", ".git", ".*cache*", "__pycache__", "*.egg-info",
                                    "_core.c")
# A report ends the process, so that nothing runs on with broken memory; a size that nobody has is a MemoryError of
# Python's, as without the sanitizer; CPython itself leaks by design. CPython and NumPy are not instrumented: their
# interceptors' reads and writes are not looked at, their locks are. A child of a fork may start threads again.
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:handle_segv=2:handle_sigbus=2:handle_sigfpe=2:"
                    "allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:abort_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:abort_on_error=1:ignore_noninstrumented_modules=1:die_after_fork=0",
}
# What a sanitizer says of a test that asks for memory nobody has, which NumPy answers: no report.
NO_REPORT = re.compile(r"WARNING: \w+ failed to allocate 0x[0-9a-f]+ bytes")
RUNTIMES = {"address": "libasan.so", "thread": "libtsan.so", "undefined": "libubsan.so"}


def copy_tree(tree: Path, folder: Path) -> None:
    """The files of the project, with their times, so that a kept folder is only brought up to date."""
    shutil.copytree(tree, folder, ignore=NOT_COPIED, dirs_exist_ok=True)
    shared, link = tree.parent / "shared", folder.parent / "shared"
    if shared.is_dir() and not link.exists():
        link.symlink_to(shared)                            # the real models that some tests ask for


def build(folder: Path, sanitizer: str) -> bool:
    done = subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=folder, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, "LSTM_ENGINE_SANITIZE": sanitizer, "CC": "gcc"})
    if done.returncode:
        print(done.stdout)
    return done.returncode == 0


def runtimes(sanitizer: str) -> list[str]:
    """The libraries that come before all others. Raises SystemExit where gcc lacks one."""
    if shutil.which("gcc") is None:
        raise SystemExit("gcc is not installed")
    if unknown := set(sanitizer.split(",")) - set(RUNTIMES):
        raise SystemExit(f"--sanitizer {sanitizer}: {', '.join(sorted(unknown))} is none of {', '.join(RUNTIMES)}")
    # Without libstdc++ before C++ that throws, the sanitizer cannot find who throws.
    found = []
    for name in [*(RUNTIMES[name] for name in sanitizer.split(",")), "libstdc++.so"]:
        asked = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
        found.append(asked.stdout.strip())
        if not Path(found[-1]).is_absolute():              # gcc gives the name back
            raise SystemExit(f"gcc has no {name}; Debian has it in libgcc-dev")
    return found


def environment(folder: Path, preloaded: list[str], reports: Path) -> dict[str, str]:
    """That of a Python whose extension modules may be instrumented."""
    options = dict(OPTIONS)
    if any("asan" in library for library in preloaded):
        options["ASAN_OPTIONS"] += f":{after_return()}"
    return {**os.environ, "LD_PRELOAD": ":".join(preloaded), "PYTHONMALLOC": "malloc",
            "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT / "tools" / "sanitized")]),
            "LSTM_ENGINE_SANITIZED": str(folder), "LSTM_ENGINE_SANITIZER_REPORTS": str(reports / "report"),
            **{name: f"{value}:log_path={reports / 'report'}" for name, value in options.items()}}


def report_text(report: Path) -> str:
    """What a process reported, "" for nothing."""
    lines = report.read_text(errors="replace").splitlines()
    return "\n".join(line for line in lines if not NO_REPORT.search(line)).strip()


def empty(reports: Path) -> None:
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir()


def sees_races(folder: Path, preloaded: list[str]) -> bool:
    """Whether a race that is there is reported."""
    reports = folder.parent / "reports"
    empty(reports)
    subprocess.run([*without_random_addresses(), sys.executable, "-c", "import race"], cwd=folder,
                   env=environment(folder, preloaded, reports), capture_output=True)
    return any("data race" in report_text(report) for report in reports.iterdir())


def run(folder: Path, preloaded: list[str], arguments: list[str]) -> int:
    """pytest's exit code, or 1 where a process has left a report."""
    reports = folder.parent / "reports"
    empty(reports)
    if not any(Path(argument.partition("::")[0]).suffix == ".py" or (ROOT / argument).is_dir()
               for argument in arguments):
        arguments = [*PATHS, *arguments]
    # In workers: one that a report has ended names its test, and is replaced.
    first = without_random_addresses() if "tsan" in preloaded[0] else []
    code = subprocess.run([*first, sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "worksteal", "-p",
                           "sanitized_plugin", "-p", "no:cacheprovider", *arguments], cwd=folder,
                          env=environment(folder, preloaded, reports)).returncode
    found = [(report.name, text) for report in sorted(reports.iterdir()) if (text := report_text(report))]
    for name, text in found:
        print(f"\n== {name}\n{text}")
    print(f"{len(found)} reports of the sanitizer")
    return code or bool(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     allow_abbrev=False)
    parser.add_argument("--sanitizer", default="address,undefined",
                        help="what gcc's -fsanitize takes, such as thread; default: %(default)s")
    parser.add_argument("--keep", type=Path, help="build in this folder and leave it; again: only what has changed")
    parser.add_argument("--tree", type=Path, default=ROOT, help="the tree to build and test; default: this one")
    chosen, arguments = parser.parse_known_args()
    preloaded = runtimes(chosen.sanitizer)
    work = (chosen.keep or Path(tempfile.mkdtemp(prefix="lstm-engine-sanitized-"))).resolve()
    try:
        started = time.monotonic()
        copy_tree(chosen.tree.resolve(), work / "tree")
        if not build(work / "tree", chosen.sanitizer):
            return 2
        print(f"built with {chosen.sanitizer} in {time.monotonic() - started:.0f} s", flush=True)
        if "thread" in chosen.sanitizer and not sees_races(work / "tree", preloaded):
            print("ThreadSanitizer does not report the race of tools/sanitized/race.py: it would see no other")
            return 2
        return run(work / "tree", preloaded, arguments)
    finally:
        if chosen.keep is None:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
