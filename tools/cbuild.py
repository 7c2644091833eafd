"""Compiles the C core, alone or with the C tests (tests/csrc), with the flags that setup.py has; used by the other
tools and by bench/callgrind.py. A compiler is all it needs: no Cython, no setuptools."""

from __future__ import annotations

import importlib.util
import platform
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from os import cpu_count
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
WARNINGS = ["-Wall", "-Wextra", "-Wpointer-arith", "-Wstrict-prototypes", "-Wundef", "-Wvla", "-Werror"]


def setup_module() -> ModuleType:
    """setup.py as a module: nothing is built by importing it."""
    spec = importlib.util.spec_from_file_location("lstm_engine_setup", ROOT / "setup.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class BuildError(Exception):
    """The compiler failed; the message is what it said."""


@dataclass
class Build:
    """One way to compile the test program. `extra` flags are for every file and the link, `link` for the link alone."""

    name: str
    compiler: list[str] = field(default_factory=lambda: ["gcc"])
    machine: str = platform.machine()
    extra: list[str] = field(default_factory=list)
    link: list[str] = field(default_factory=list)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def _in_root(setup: ModuleType, names: str, *args: str) -> list[str]:
    """setup.py lists files relative to the current folder; give them relative to the project's."""
    import os

    here = os.getcwd()
    os.chdir(ROOT)
    try:
        return getattr(setup, names)(*args)
    finally:
        os.chdir(here)


def _sources(machine: str, tests: bool) -> list[tuple[str, list[str]]]:
    """C files relative to the project's folder, each with its own flags."""
    setup = setup_module()
    files = [(file, []) for file in _in_root(setup, "core_sources")]
    files += [(file, flags) for isa, flags in setup.isa_flags(machine).items()
              for file in _in_root(setup, "isa_sources", isa)]
    if tests:
        files += [(path.relative_to(ROOT).as_posix(), ["-Itests/csrc"])
                  for path in sorted((ROOT / "tests" / "csrc").glob("*.c"))]
    return files


def compile_core(build: Build, folder: Path, tests: bool = False) -> list[Path]:
    """The core's objects (with `tests` also those of the C tests), compiled in `folder`. Raises BuildError with the
    compiler's words."""
    setup = setup_module()
    folder.mkdir(parents=True, exist_ok=True)
    macros = [f"-D{name}={value}" for name, value in setup.isa_macros(setup.isa_flags(build.machine))]
    common = [*setup.FLAGS, *WARNINGS, *macros, *(f"-I{path}" for path in setup.INCLUDE), *build.extra]
    compiles, objects = [], []
    for file, flags in _sources(build.machine, tests):
        objects.append(folder / (file.replace("/", "__").removesuffix(".c") + ".o"))
        compiles.append([*build.compiler, *common, *flags, "-c", file, "-o", str(objects[-1])])
    with ThreadPoolExecutor(cpu_count() or 1) as pool:
        list(pool.map(_run, compiles))
    return objects


def compile_tests(build: Build, folder: Path) -> Path:
    """The test program, compiled in `folder`. Raises BuildError with the compiler's words."""
    objects = compile_core(build, folder, tests=True)
    program = folder / "le_tests"
    _run([*build.compiler, *build.extra, *map(str, objects), *build.link, "-lm", "-lpthread", "-o", str(program)])
    return program
