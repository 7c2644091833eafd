"""What several commands share: kinds of arguments, and how a model is opened."""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import note
from .limit_arguments import limits_of
from .values import class_meant, layer_activation, names, path

if TYPE_CHECKING:
    from ..importers import ImportOptions
    from ..model import Model

MODEL_HELP = "a .lstm file, or any checkpoint that convert reads (.keras .h5 .json .pt .pth .safetensors .onnx .npz)"
POOLS = ("last", "step", "state", "mean", "max", "none")
DTYPES = ("float32", "float64")
GEMMS = ("packed", "blas")
CHECKPOINT_OPTIONS = ("pool", "activation", "order", "spec", "weights", "data_folder",
                      "custom_object")     # of no use to .lstm


class UsageError(Exception):
    """The command line asks for something that cannot be: exit code 2."""


def add_readings(parser: argparse.ArgumentParser) -> None:
    """How weights alone are to be read."""
    group = parser.add_argument_group("files of weights alone", "what they do not hold (docs/spec.md)")
    group.add_argument("--pool", choices=POOLS,
                       help="reduce the sequence behind the last recurrent layer; none: give every step")
    group.add_argument("--activation", type=layer_activation, action="append", metavar="LAYER=NAME",
                       help="the activation of a layer, such as fc=relu, fc=none or rnn=tanh; may be repeated")
    group.add_argument("--order", type=names, metavar="A,B,C", help="the layers from the input to the output")


def add_spec(parser: argparse.ArgumentParser, also: str = "") -> None:
    """also: what else --weights is for."""
    parser.add_argument("--spec", type=path, metavar="JSON",
                        help="the layers of a file of weights alone (docs/spec.md)")
    parser.add_argument("--weights", type=path, metavar="FILE",
                        help="the arrays of a Keras model whose own file is JSON (default: the file called like it)"
                             f"{also}")
    add_data_folder(parser)
    parser.add_argument("--custom-object", type=class_meant, action="append", metavar="NAME=CLASS",
                        help="what a class of a Keras file is that Keras lacks: CRF=keras_contrib.layers.CRF")


def add_data_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-folder", type=path, metavar="DIR",
                        help="where an ONNX model's external data is looked for first, or where links to it lead")


def add_model(parser: argparse.ArgumentParser) -> None:
    """MODEL and how it is to compute."""
    parser.add_argument("model", type=path, metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("--dtype", choices=DTYPES, help="compute in this type (default: the weights')")
    parser.add_argument("--gemm", choices=GEMMS, default="packed",
                        help="what multiplies matrices: our kernels, or a BLAS (default: packed)")


def open_model(arguments: argparse.Namespace, say: bool = True) -> Model:
    """MODEL, as `add_model`, `add_readings` and `add_spec` describe it: a .lstm file loaded, anything else converted.

    say: tell on stderr what a conversion assumed.
    """
    from ..loading import convert, is_own, load

    limits = limits_of(arguments)
    if is_own(arguments.model):
        refuse_options(arguments)
        return load(arguments.model, gemm=arguments.gemm, dtype=arguments.dtype, limits=limits)
    said = import_options(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)             # said below, in lines of the program's own
        model = convert(arguments.model, gemm=arguments.gemm, dtype=arguments.dtype, pool=said.pool, spec=said.spec,
                        activations=said.activations, order=said.order, weights=getattr(arguments, "weights", None),
                        data_folder=said.data_folder, custom_objects=said.custom_objects, limits=limits)
    if say:
        say_assumptions(model)
        say_notes(model.graph.metadata)
    return model


def import_options(arguments: argparse.Namespace) -> ImportOptions:
    """What the command line says of a checkpoint. Raises UsageError for a layer that has two activations."""
    from ..importers import ImportOptions

    activations: dict[str, str] | None = None
    for layer, name in arguments.activation or ():
        activations = activations or {}
        if activations.setdefault(layer, name) != name:
            raise UsageError(f"--activation: layer {layer!r} is given {activations[layer]} and {name}")
    return ImportOptions(pool=arguments.pool, spec=getattr(arguments, "spec", None), activations=activations,
                         order=arguments.order, weights=getattr(arguments, "weights", None),
                         data_folder=getattr(arguments, "data_folder", None),
                         custom_objects=dict(getattr(arguments, "custom_object", None) or ()) or None)


def given_options(arguments: argparse.Namespace) -> list[str]:
    """The options about a checkpoint that the command line has."""
    return [f"--{name.replace('_', '-')}" for name in CHECKPOINT_OPTIONS if getattr(arguments, name, None)]


def refuse_options(arguments: argparse.Namespace) -> None:
    """Raise UsageError if options about a checkpoint are given for a .lstm file."""
    from ..importers.base import are

    if given := given_options(arguments):
        raise UsageError(f"{are(given)} for checkpoints; a .lstm file says itself what it computes")


def say_assumptions(model: Model) -> None:
    """On stderr, what was assumed of weights alone: one line each, and how it is settled."""
    for sentence in model.assumptions:
        note(f"assumed: {sentence}")
    if model.assumptions:
        note("the file holds weights alone; --pool, --activation, --order or --spec settle what it does not say")


def say_notes(metadata: Mapping[str, str]) -> None:
    """On stderr, what a model's metadata tell its user."""
    from ..notes import notes

    for sentence in notes(metadata):
        note(sentence)


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
