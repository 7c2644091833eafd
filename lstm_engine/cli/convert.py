"""Turn a checkpoint of Keras, PyTorch or ONNX, or arrays with a spec, into a .lstm file.

The file is read as data; no framework is needed and nothing in it is run. A file that stands at the output's
path is replaced only by a whole new one: if anything fails, it stays as it was."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from ..files import open_regular
from ..texts import one_line
from .arguments import DTYPES, UsageError, add_readings, add_spec, import_options, is_lstm, say_assumptions, say_notes
from .console import note
from .limit_arguments import add_limits, limits_of
from .values import path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=path, metavar="SRC",
                        help="a checkpoint: .keras .h5 .json .pt .pth .pt2 .safetensors .onnx .npz")
    parser.add_argument("-o", "--output", type=path, metavar="OUT.lstm",
                        help="where to write (default: SRC with the ending .lstm, in its folder)")
    add_limits(parser, runs=False)
    add_readings(parser)
    add_spec(parser)
    parser.add_argument("--dtype", choices=DTYPES,
                        help="store the weights in this type, which the model then computes in (default: as they are)")


def run(arguments: argparse.Namespace) -> int:
    from ..importers import import_graph, weights_in
    from ..limits import check_size
    from ..loading import is_own
    from ..model import Model
    from .writing import keeping_what_is_read, refuse_to_replace

    target = arguments.output or _beside(arguments.source)
    if not is_lstm(target):
        raise UsageError(f"--output {target}: the name must end in .lstm")
    if is_own(arguments.source):
        raise UsageError(f"{arguments.source} is a .lstm file already")
    source, limits = weights_in(arguments.source), limits_of(arguments)
    check_size(str(source), limits)
    refuse_to_replace(target, {"SRC": source, "--spec": arguments.spec, "--weights": arguments.weights})
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


def _beside(source: Path) -> Path:
    """The name of the source with the ending .lstm; of a folder, beside it."""
    from ..importers import weights_in

    if os.path.isdir(source) and weights_in(source) != source:
        source = Path(os.path.abspath(source))
        return source.with_name(f"{source.name}.lstm")
    if not source.name:
        with open_regular(source):          # "." and "/" are folders, which this says
            pass
    return source.with_suffix(".lstm")
