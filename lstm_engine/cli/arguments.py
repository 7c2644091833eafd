"""What several commands share: kinds of arguments, and how a model is opened."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..model import Model

MODEL_HELP = "a .lstm file, or any checkpoint that convert reads (.keras .h5 .pt .pth .safetensors .onnx .npz)"
POOLS = ("last", "mean", "max")
DTYPES = ("float32", "float64")
GEMMS = ("packed", "blas")


class UsageError(Exception):
    """The command line asks for something that cannot be: exit code 2."""


def count(text: str) -> int:
    """A whole number of at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return number


def threads(text: str) -> int:
    """A number of threads, as `predict` takes it."""
    number = count(text)
    if number > 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is more than 1024 threads")
    return number


def counts(text: str) -> list[int]:
    """Whole numbers of at least 1 with commas between: 1,16,64."""
    return [count(part) for part in text.split(",")]


def seed(text: str) -> int:
    """A whole number from 0."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def positive(text: str) -> float:
    """A number above 0, not infinite."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def add_pool(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pool", choices=POOLS, help="reduce the sequence before the head (files of weights alone)")


def add_spec(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spec", type=Path, metavar="JSON",
                        help="the layers of a file of weights alone (docs/spec.md)")


def add_model(parser: argparse.ArgumentParser) -> None:
    """MODEL and how it is to compute."""
    parser.add_argument("model", type=Path, metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("--dtype", choices=DTYPES, help="compute in this type (default: the weights')")
    parser.add_argument("--gemm", choices=GEMMS, default="packed",
                        help="what multiplies matrices: our kernels, or a BLAS (default: packed)")


def open_model(arguments: argparse.Namespace) -> Model:
    """MODEL, as `add_model`, `add_pool` and `add_spec` describe it: a .lstm file loaded, anything else converted."""
    from ..model import convert, load

    pool, spec = arguments.pool, getattr(arguments, "spec", None)
    if is_lstm(arguments.model):
        if pool or spec:
            raise UsageError("--pool and --spec are for checkpoints; a .lstm file says itself what it computes")
        return load(arguments.model, gemm=arguments.gemm, dtype=arguments.dtype)
    return convert(arguments.model, gemm=arguments.gemm, dtype=arguments.dtype, pool=pool, spec=spec)


def is_lstm(path: Path) -> bool:
    """Whether a path is called as our own files are."""
    return path.suffix.lower() == ".lstm"


def print_json(value: Any) -> None:
    """`value` on stdout as strict JSON: numbers that JSON lacks are null."""
    print(json.dumps(_finite(value), indent=2, ensure_ascii=True, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
