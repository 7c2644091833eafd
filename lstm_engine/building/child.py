"""What runs in the process of its own: the user's function, the weights into its module, the conversion."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import shutil
import signal
import sys
import threading
import traceback
import warnings
from pathlib import Path
from typing import Any

from ..errors import (
    ArgumentError,
    ArgumentTypeError,
    FileError,
    LstmEngineError,
    MissingDependencyError,
    UnsupportedError,
)
from ..importers import live_importer
from ..importers.torch import fill
from ..importers.torch.modules.live import examples_of, suggested_example
from ..limits import Limits
from ..loading import convert


def main(request: dict[str, Any]) -> None:
    """Write the model that the request asks for, and the answer; an error is an answer too."""
    with contextlib.suppress(OSError):      # what the user's code prints goes where messages go
        os.dup2(2, 1)
    _end_with_parent(os.path.dirname(request["request.json"]))
    try:
        answer: dict[str, Any] = {"said": _build(request)}
    except LstmEngineError as error:
        kind = next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == LstmEngineError.__module__)
        answer = {"error": str(error.args[-1] if isinstance(error, FileError) else error), "kind": kind}
    except KeyboardInterrupt:               # Ctrl-C is for both processes, and the other one says it
        os._exit(128 + signal.SIGINT)
    part = f"{request['answer.json']}.part"                 # half an answer would be none
    with open(part, "w", encoding="utf-8") as file:
        json.dump(answer, file)
    os.replace(part, request["answer.json"])


def _end_with_parent(folder: str) -> None:
    """Have this process end where the one that started it does, whose pipe stdin is, and leave no folder of its files;
    the user's code finds nothing to read in stdin."""
    pipe, nothing = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def watch() -> None:
        with contextlib.suppress(OSError):
            os.read(pipe, 1)
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _build(request: dict[str, Any]) -> list[str]:
    where = f"{request['file']}:{request['function']}"
    limits = Limits(**request["limits"])
    _import_torch()
    made = _call(_function(Path(request["file"]), request["function"]), where, request["file"])
    module, examples = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    importer = live_importer(module)
    if importer is None or importer.name != "torch":
        got = f"a tuple of {len(made)}" if isinstance(made, tuple) else type(made).__qualname__
        raise ArgumentTypeError(f"{where}: expected a torch.nn.Module, or (module, example_inputs), got {got}")
    said = []
    if request["weights"] is None:
        said.append(f"no --weights: the model has those that {request['function']} gives it")
    elif taken_off := fill(module, Path(request["weights"]), limits):
        said.append(taken_off)
    try:
        examples_of(module, examples)
    except ArgumentError:
        example = suggested_example(module)
        raise ArgumentError(f"{where}: what {type(module).__qualname__}.forward takes cannot be told from outside; "
                            "return an example of at least 2 rows and 2 steps with it: "
                            f"return module, ({example},)") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)         # the model's metadata has what they say
        model = convert(module, example_inputs=examples, limits=limits)
    model.save(request["model.lstm"])
    return said


def _function(file: Path, name: str) -> Any:
    """What `name` is in a file of Python, which is run as a module is. Raises FileError, ArgumentError, and
    UnsupportedError for what it raises."""
    if not file.is_file():
        raise FileError(f"{file}: there is no such file")
    module: Any = _call(lambda: _module(file.resolve()), str(file), str(file))
    value = module
    for part in name.split("."):
        value = getattr(value, part, None)
    if not callable(value):
        functions = [own for own, held in vars(module).items() if callable(held)
                     and getattr(held, "__module__", None) == module.__name__]
        raise ArgumentError(f"{file}: it has no function {name!r}; it has "
                            f"{', '.join(functions[:12]) or 'none of its own'}")
    return value


def _module(file: Path) -> Any:
    """A file as the module that it is: of its package, where its folder is one; else with its folder to import from.

    What lies beside a file of a package, and in the working folder, is found as well where nothing else is called so.
    """
    folder, names = file.parent, [] if file.name == "__init__.py" else [file.stem]
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    sys.path.insert(0, str(folder))
    sys.path += [str(file.parent), os.getcwd()]
    if (file.parent / "__init__.py").is_file() and (package := _of_package(names, file)) is not None:
        return package
    name = file.stem
    while name in sys.modules:                              # torch.py of the user's own
        name = f"_{name}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _of_package(names: list[str], file: Path) -> Any:
    """The module of a package that a file is; None where its package cannot be imported by that name: a folder's name
    has a dot, or another package is called so."""
    top = file.parents[len(names) - (1 if file.name == "__init__.py" else 2)]
    other = sys.modules.get(names[0])
    if any("." in name for name in names) or (
            other is not None and getattr(other, "__file__", None) != str(top / "__init__.py")):
        return None
    return importlib.import_module(".".join(names))


def _import_torch() -> None:
    """Import torch while nothing of the user's can stand in its place, or that of what it imports: a file that is
    called inspect.py. Raises MissingDependencyError."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(f"a function that builds a torch module needs torch: {error}; "
                                     "pip install torch") from error


def _call(function: Any, where: str, file: str) -> Any:
    """What the user's code gives. Raises UnsupportedError with what it raises, and on which of its lines."""
    try:
        return function()
    except KeyboardInterrupt:
        raise
    except BaseException as error:          # SystemExit, and what others derive of it
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
                 if os.path.realpath(frame.filename) == os.path.realpath(file)]
        at = f" in line {lines[-1]}" if lines else ""
        try:
            said = f": {error}"
        except Exception:                   # of a class of the user's own, which cannot say what it is
            said = ""
        raise UnsupportedError(f"{where} raised {type(error).__name__}{at}{said}") from error
