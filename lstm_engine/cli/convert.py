"""Turn a checkpoint of Keras, PyTorch or ONNX, or arrays with a spec, into a .lstm file.

The file is read as data; no framework is needed and nothing in it is run. A file that stands at the output's
path is replaced only by a whole new one: if anything fails, it stays as it was.

model.py:build as SRC is the exception: build() of your own model.py is run, in a process of its own with torch, and
returns the module, or (module, example_inputs); --weights is a checkpoint for it, which is read as data."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import open_regular
from ..texts import one_line
from .arguments import (
    DTYPES,
    UsageError,
    add_readings,
    add_spec,
    given_options,
    import_options,
    is_lstm,
    say_assumptions,
    say_notes,
)
from .console import note
from .limit_arguments import add_limits, limits_of
from .values import path

if TYPE_CHECKING:
    from ..building import Recipe
    from ..graph import Graph
    from ..limits import Limits


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=path, metavar="SRC",
                        help="a checkpoint: .keras .h5 .json .pt .pth .pt2 .safetensors .onnx .npz; or model.py:build, "
                             "your own function that builds a torch module")
    parser.add_argument("-o", "--output", type=path, metavar="OUT.lstm",
                        help="where to write (default: SRC with the ending .lstm, in its folder)")
    add_limits(parser, runs=False)
    add_readings(parser)
    add_spec(parser, also=", or of the module that model.py:build builds")
    parser.add_argument("--dtype", choices=DTYPES,
                        help="store the weights in this type, which the model then computes in (default: as they are)")


def run(arguments: argparse.Namespace) -> int:
    from ..building import Recipe
    from ..importers import import_graph, weights_in
    from ..limits import check_size
    from ..loading import is_own
    from ..model import Model
    from .writing import keeping_what_is_read, refuse_to_replace

    target = arguments.output or _beside(arguments.source)
    if not is_lstm(target):
        raise UsageError(f"--output {target}: the name must end in .lstm")
    limits, recipe = limits_of(arguments), Recipe.of(arguments.source)
    if recipe is None and is_own(arguments.source):
        raise UsageError(f"{arguments.source} is a .lstm file already")
    source = weights_in(arguments.source) if recipe is None else recipe.file
    check_size(str(source), limits)
    refuse_to_replace(target, {"SRC": source, "--spec": arguments.spec, "--weights": arguments.weights})
    if recipe is not None:
        graph = _built(recipe, arguments, limits)
    else:
        with keeping_what_is_read(target):
            graph = import_graph(source, replace(import_options(arguments), limits=limits))
    if arguments.dtype:
        from ..operators.precision import cast

        graph = cast(graph, arguments.dtype)
    # A graph that cannot be run here is refused before anything is written.
    model = Model(graph, limits=limits)
    model.save(target)
    sys.stderr.write("".join(one_line(line) + "\n" for line in model.summary().split("\n")))
    say_assumptions(model)
    say_notes(graph.metadata)
    note(f"wrote {target}, {target.stat().st_size:,} bytes")
    return 0


def _built(recipe: Recipe, arguments: argparse.Namespace, limits: Limits) -> Graph:
    """The graph of what the user's own code builds, which is said before it is run."""
    from ..building import build
    from ..importers import weights_in
    from ..importers.base import are
    from ..limits import check_size

    if given := [option for option in given_options(arguments) if option != "--weights"]:
        raise UsageError(f"{are(given)} for checkpoints; {recipe} says itself what it computes")
    weights = None if arguments.weights is None else weights_in(arguments.weights)
    if weights is not None:
        with open_regular(weights):         # said before the code is run, which may take its time
            pass
        check_size(str(weights), limits)
    note(f"running {recipe}, your own code, in a process of its own")
    graph, said = build(recipe, weights, limits)
    for sentence in said:
        note(sentence)
    return graph


def _beside(source: Path) -> Path:
    """The name of the source with the ending .lstm; of a folder, beside it."""
    from ..building import Recipe
    from ..importers import weights_in

    if (recipe := Recipe.of(source)) is not None:
        return recipe.file.with_suffix(".lstm")
    if os.path.isdir(source) and weights_in(source) != source:
        source = Path(os.path.abspath(source))
        return source.with_name(f"{source.name}.lstm")
    if not source.name:
        with open_regular(source):          # "." and "/" are folders, which this says
            pass
    return source.with_suffix(".lstm")
