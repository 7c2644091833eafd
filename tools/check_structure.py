"""Checks the tree against its own design: which way includes and imports may point, what belongs to one place alone.

    python tools/check_structure.py

Prints each violation and exits 1 if there is any.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAX_LINES = 400

# Folder of csrc -> folders it may include from, besides its own and the public header.
C_ARROWS = {"base": set(), "kernels": {"base"}, "blas": {"base"}, "layers": {"kernels", "blas", "base"},
            "model": {"layers", "kernels", "blas", "base"}, "steps": {"base"}}
ISA_MARKS = re.compile(r"__AVX\w*|__SSE\w*|__ARM\w*|__FMA__|LE_HAVE_\w+|__x86_64__|__aarch64__|_M_X64|immintrin"
                       r"|arm_neon")
ISA_FOLDERS = ("kernels", "base")
# Calls that one file alone may make: memory comes from the arena, and the core never prints, exits or looks around.
ONLY_IN = {"arena.c": re.compile(r"\b(malloc|calloc|realloc|posix_memalign|aligned_alloc)\s*\("),
           "team_openmp.c": re.compile(r"omp\.h|#\s*pragma omp|\bomp_\w+\("),
           "os_threads.h": re.compile(r"\bpthread_\w+\("),
           "": re.compile(r"\b(printf|fprintf|puts|exit|getenv|fopen|assert|abort)\s*\(")}
EVERYWHERE = {"types"}                 # what every part may import: it names types, and imports nothing
OWN = {"lstm_engine", "numpy", "__future__"}   # what may be imported when a module is loaded, besides Python's own
CLOCKS = re.compile(r"(perf_counter|process_time|thread_time|monotonic|clock_gettime)(_ns)?|getrusage")
STATIC = re.compile(r"(static|LE_INLINE|typedef|extern|struct|enum|union)\b")

# Part of the package -> parts it may import, at the top of a file or inside a function. No way along them leads back.
PY_ARROWS: dict[str, set[str]] = {
    "types": set(),
    "errors": set(),
    "arrays": {"errors"},
    "arguments": {"errors"},
    "texts": set(),
    "limits": {"errors", "arguments"},
    "entry": {"errors", "_core"},
    "pages": set(),
    "graph": {"errors", "arguments"},
    "data_types": set(),
    "strict_json": {"errors"},
    "operators": {"data_types", "graph", "errors", "arguments"},
    "format": {"graph", "operators", "errors", "files", "pages", "strict_json"},
    "reference": {"data_types", "graph", "operators", "errors"},
    "importers": {"data_types", "graph", "operators", "format", "errors", "arguments", "files", "limits", "pages",
                  "strict_json"},
    "layers": {"graph", "errors", "arrays", "arguments"},
    "plan": {"graph", "operators", "errors", "limits", "pages", "_core"},
    "running": {"graph", "operators", "errors", "arrays", "arguments", "limits", "entry", "plan", "runtime",
                "text_inputs", "_core"},
    "text_inputs": {"graph", "errors"},
    "padding": {"errors", "arrays", "arguments", "entry"},
    "blas": {"_core"},
    "cpus": set(),
    "files": {"errors", "pages"},
    "handed": {"errors", "files", "limits"},
    "runtime": {"errors", "arguments", "_core", "blas", "cpus", "importers.reading", "__version__"},
    "notes": set(),
    "ops": {"graph", "operators", "errors", "arrays", "arguments", "entry", "plan", "running", "runtime", "checking"},
    "checking": {"graph", "operators", "errors", "plan", "reference", "running", "_core"},
    "summary": {"graph", "texts", "plan"},
    "model": {"graph", "operators", "errors", "arguments", "limits", "entry", "pages", "format", "layers", "plan",
              "running", "runtime", "blas", "checking", "summary"},
    "agreement": {"graph", "operators", "errors", "importers", "model"},
    "loading": {"errors", "arguments", "files", "graph", "handed", "limits", "entry", "notes", "format", "importers",
                "model", "agreement"},
    "quantizing": {"graph", "errors", "arguments", "entry", "model"},
    "building": {"errors", "graph", "limits", "format", "importers", "loading"},
    "verifying": {"graph", "operators", "errors", "arguments", "files", "importers", "format", "reference", "model",
                  "text_inputs"},
    "onnx_backend": {"errors", "loading", "model"},
    "cli": {"errors", "arguments", "texts", "files", "limits", "graph", "operators", "format", "importers", "plan",
            "runtime", "padding", "notes", "summary", "model", "loading", "building", "quantizing", "verifying",
            "__version__"},
    "__main__": {"cli"},
}
FACE = "__init__"                      # may name anything: it is what users see

# Folder of importers/ -> what else of importers/ its files may import.
IMPORTER_ARROWS = {
    "reading": set(),
    "arrays": {"base", "reading"},
    "keras/reading": {"reading"},
    "keras/mapping": {"order", "keras.reading"},
    "onnx/reading": {"base", "reading", "onnx.model"},
    "onnx/simplifying": {"order", "onnx.model"},
    "onnx/mapping": {"base", "onnx.model", "onnx.reading", "onnx.simplifying"},
    "torch/checkpoints": {"reading"},
    "torch/state_dict": {"reading", "arrays", "torch.checkpoints", "torch.ways"},
    "torch/modules": {"reading", "arrays", "torch.checkpoints", "torch.state_dict", "torch.ways"},
    "torch/program": {"base", "reading", "torch.checkpoints", "onnx"},
    "torch/script": {"base", "reading", "torch.checkpoints", "torch.program", "onnx"},
}
CORE_USERS = {"plan", "running", "runtime", "blas", "checking", "entry"}


def c_violations() -> Iterator[str]:
    files = sorted((ROOT / "csrc").rglob("*.[ch]"))
    for name, count in Counter(path.name for path in files).items():
        if count > 1:
            yield f"csrc: {count} files are called {name}"
    for path in files:
        folder, text = path.parent.name, path.read_text(encoding="utf-8")
        where = path.relative_to(ROOT).as_posix()
        for include in re.findall(r'#include "([^"]+)"', text):
            target = include.split("/")[0] if "/" in include else None
            if target and target != folder and target not in C_ARROWS.get(folder, set()):
                yield f"{where}: includes {include}; {folder} may include {sorted(C_ARROWS.get(folder, set()))}"
        for owner, calls in ONLY_IN.items():
            if path.name != owner and (found := calls.search(text)):
                yield f"{where}: {found.group()} belongs to {owner or 'no file of the core'}"
        if folder not in ISA_FOLDERS and ISA_MARKS.search(text):
            yield f"{where}: asks for an instruction set outside kernels/ and base/"
        if path.name.startswith(("vec_", "kernels_")) or path.name.endswith("_body.h"):
            for line in text.split("\n"):
                if re.match(r"[a-z]\w*[\s*]+\w+\(", line) and not STATIC.match(line):
                    yield f"{where}: a helper that is not static: {line.strip()}"


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(module imported, whether at the top level) with names inside the package made absolute."""
    package = ["lstm_engine", *path.relative_to(ROOT / "lstm_engine").parent.parts]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    typing_only = {id(node) for block in ast.walk(tree) if isinstance(block, ast.If)
                   and "TYPE_CHECKING" in ast.unparse(block.test) for node in ast.walk(block)}
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in top
        elif isinstance(node, ast.ImportFrom):
            base = package[:len(package) - node.level + 1] if node.level else []
            head = ".".join([*base, node.module] if node.module else base)
            for alias in node.names:
                yield f"{head}.{alias.name}", id(node) in top


def python_violations() -> Iterator[str]:
    for path in sorted((ROOT / "lstm_engine").rglob("*.py")):
        where = path.relative_to(ROOT).as_posix()
        part = path.relative_to(ROOT / "lstm_engine").parts[0].removesuffix(".py")
        if part != FACE and part not in PY_ARROWS:
            yield f"{where}: {part} has no place among the arrows of tools/check_structure.py"
        for module, top in imports(path):
            if top and module.split(".")[0] not in OWN and module.split(".")[0] not in sys.stdlib_module_names:
                yield f"{where}: imports {module} when it is loaded; foreign libraries are imported where they are used"
            if not module.startswith("lstm_engine."):
                continue
            target = module.removeprefix("lstm_engine.")
            head = target.split(".")[0]
            if head == "_core" and part not in CORE_USERS:
                yield f"{where}: touches _core; only {', '.join(sorted(CORE_USERS))} do"
            allowed = PY_ARROWS.get(part)
            if part != FACE and allowed is not None and head not in {part, *EVERYWHERE} and not any(
                    f"{target}.".startswith(f"{name}.") for name in allowed):
                yield f"{where}: imports {module}; {part} may import {sorted(allowed)}"


def arrow_violations() -> Iterator[str]:
    """Arrows that lead back to where they began: then none of them could be said to go down."""
    arrows = {part: {target.split(".")[0] for target in targets} & PY_ARROWS.keys() - {part}
              for part, targets in PY_ARROWS.items()}
    done: set[str] = set()
    while ready := [part for part in arrows if part not in done and arrows[part] <= done]:
        done.update(ready)
    if left := sorted(arrows.keys() - done):
        yield f"tools/check_structure.py: arrows go round in a circle among {', '.join(left)}"


def circle_violations() -> Iterator[str]:
    """Files that import each other, directly or through others; imports inside functions count."""
    files = {_module(path): path for path in (ROOT / "lstm_engine").rglob("*.py")}
    needs = {name: {run for module, _ in imports(path) for run in _run_by(module, name, files)}
             for name, path in files.items()}
    done: set[str] = set()
    while ready := [name for name in needs if name not in done and needs[name] <= done]:
        done.update(ready)
    # What is left stands in a circle, or on one: what nothing else of the rest needs is peeled off.
    left = set(needs) - done
    while outer := left - {target for name in left for target in needs[name]}:
        left -= outer
    for name in sorted(left):
        yield (f"{files[name].relative_to(ROOT).as_posix()}: in a circle of imports, through "
               f"{', '.join(sorted(needs[name] & left))}")


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _run_by(module: str, name: str, files: Collection[str]) -> Iterator[str]:
    """The files that `name` runs by importing a module, or a name out of one: with it the packages around it, but for
    those that `name` stands in itself."""
    while module and module not in files:
        module = module.rpartition(".")[0]
    if module != name:
        yield module
        while (module := module.rpartition(".")[0]) and not f"{name}.".startswith(f"{module}."):
            yield module


def importer_violations() -> Iterator[str]:
    """What reads knows nothing of what maps, and no framework's importer of another but torch's programs of ONNX."""
    for folder, allowed in IMPORTER_ARROWS.items():
        own = "lstm_engine.importers." + folder.replace("/", ".")
        for path in sorted((ROOT / "lstm_engine" / "importers" / folder).rglob("*.py")):
            for module, _ in imports(path):
                inner = module.removeprefix("lstm_engine.importers.")
                if inner != module and not f"{module}.".startswith(f"{own}.") and not any(
                        f"{inner}.".startswith(f"{name}.") for name in allowed):
                    yield (f"{path.relative_to(ROOT).as_posix()}: imports {module}; importers/{folder} may import "
                           f"{sorted(allowed)} of importers")


def size_violations() -> Iterator[str]:
    folders = ("csrc", "lstm_engine", "tools", "bench", "examples", "tests")
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix not in (".py", ".pyx", ".pxi", ".pxd", ".c", ".h") or path.name == "_core.c":
                continue
            count = len(path.read_text(encoding="utf-8").splitlines())
            if count > MAX_LINES:
                yield f"{path.relative_to(ROOT).as_posix()}: {count} lines; at most {MAX_LINES}"


def clock_violations() -> Iterator[str]:
    """A test that reads a clock fails on a busy machine: work is counted (tests/support/doubling_costs.py), and only a
    guard against hanging, far beyond what anything takes, may end it."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute | ast.Name | ast.alias):
                name = getattr(node, "attr", getattr(node, "id", getattr(node, "name", "")))
                if CLOCKS.fullmatch(name):
                    yield f"{path.relative_to(ROOT).as_posix()}: reads the clock {name}"


def violations() -> list[str]:
    return [*c_violations(), *python_violations(), *arrow_violations(), *circle_violations(), *importer_violations(),
            *size_violations(), *clock_violations()]


def main() -> int:
    found = violations()
    print("\n".join(found) if found else "the tree keeps to its design")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
