"""What a victim does with a path. Each returns numbers, or raises what the caller would see."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import lstm_engine as le
from lstm_engine.importers.base import ImportOptions
from lstm_engine.importers.registry import import_graph

ROWS, STEPS = 2, 3


def plain(value: Any) -> Any:
    """Arrays as lists and NaN as text, so that JSON can hold what is compared."""
    if isinstance(value, Mapping):
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    return repr(value) if isinstance(value, float) and not np.isfinite(value) else value


def ones(model: le.Model) -> dict[str, np.ndarray]:
    """An input of ones for every input of a model, of 2 rows and 3 steps where the sizes are free."""
    free = {"batch": ROWS}
    return {name: np.ones([dim if isinstance(dim, int) else free.get(dim, STEPS) for dim in value.shape], value.dtype)
            for name, value in model.inputs.items()}


def convert(path: Path, **options: Any) -> Any:
    """Convert, and run on ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = le.convert(path, **options)
    return model.predict(ones(model))


def load(path: Path) -> Any:
    """Load a .lstm file, and run it on ones."""
    model = le.load(path)
    return model.predict(ones(model))


def read(path: Path) -> list[str]:
    """Read alone: what kinds of node the graph has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [node.op for node in import_graph(path, ImportOptions()).nodes]


def with_spec(path: Path) -> Any:
    """Convert with the spec that lies beside the file."""
    return convert(path, spec=path.with_name("spec.json"))


class UsageError(Exception):
    """What the program says with exit code 2."""


def program(*arguments: object) -> str:
    """What the program prints on stdout; its error as an exception of the class that the library would raise."""
    from lstm_engine.cli import main as cli

    failed: list[BaseException] = []
    message = cli._message

    def noted(error: BaseException) -> str:
        failed.append(error)
        return message(error)

    cli._message = noted
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.main([str(argument) for argument in arguments])
    finally:
        cli._message = message
    if code and failed:
        raise failed[0]
    if code:
        raise UsageError(err.getvalue().strip())
    return out.getvalue()


def predict_file(path: Path) -> list[str]:
    """Run the model beside a file of inputs on it: the lines of the answer."""
    return program("predict", path.with_name("model.lstm"), path, "--threads", 1).splitlines()


def predict_to(path: Path) -> list[str]:
    """Run the model beside a file on the input beside it, into the output that the file names: the lines of that."""
    target = path.parent / path.read_text()
    program("predict", path.with_name("model.lstm"), path.with_name("x.csv"), "--name-column", 1, "--no-header",
            "-o", target, "--threads", 1)
    return target.read_text().splitlines()


def show(path: Path) -> list[bool]:
    """Whether a name of the model is in what `inspect` and `summary` print, escaped, and whether it is as it stands."""
    shown = program("inspect", path), le.load(path).summary()
    return [all("\\x1b" in text for text in shown), any("\x1b" in text for text in shown)]
