"""Compare a model's outputs with what they should be, and fail beyond a tolerance.

Against --outputs, stored arrays for --inputs; else against the checkpoint --source, run in its own framework if
that is installed (.keras and .h5 in Keras, .onnx in ONNX Runtime, .pt2 in PyTorch; this runs the file there, as
far as the framework lets files run); else against this project's float64 reference of the source, or without a
source of the model itself. Without --inputs, inputs are made up: several batch sizes and lengths, from a seed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import (
    UsageError,
    add_model,
    add_readings,
    add_spec,
    import_options,
    is_lstm,
    open_model,
    positive,
    print_json,
    refuse_options,
    seed,
)
from .console import note, table

if TYPE_CHECKING:
    import numpy as np

    from ..graph import Graph
    from ..importers import ImportOptions
    from ..model import Model
    from .differences import Difference

TOLERANCE = 1e-5
CASES = ((1, 1), (1, 17), (3, 5), (5, 33), (2, 64))        # batch, steps
Arrays = dict[str, "np.ndarray"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--source", type=Path, metavar="SRC", help="the checkpoint that the model came from")
    parser.add_argument("--reference", action="store_true",
                        help="use the float64 reference even where the framework is installed")
    parser.add_argument("--inputs", type=Path, metavar="IN.npz", help="arrays by input name")
    parser.add_argument("--outputs", type=Path, metavar="OUT.npz", help="what the outputs should be, by output name")
    parser.add_argument("--tolerance", type=positive, default=TOLERANCE, metavar="T",
                        help="largest difference: absolute, relative above 1 (default: %(default)s)")
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="of inputs made up (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_readings(parser)
    add_spec(parser)


def run(arguments: argparse.Namespace) -> int:
    if arguments.outputs and not arguments.inputs:
        raise UsageError("--outputs needs the --inputs that they belong to")
    if arguments.outputs and (arguments.source or arguments.reference):
        raise UsageError("--outputs excludes --source and --reference: one of them says what is right")
    source_options = import_options(arguments)
    if is_lstm(arguments.model):                 # then they speak of the source
        if not arguments.source:
            refuse_options(arguments)
        arguments.pool = arguments.spec = arguments.activation = arguments.order = None
    model = open_model(arguments)
    cases = _cases(arguments, model)
    ours = [_run_ours(model, case) for case in cases]
    against, expected = _expected(arguments, model, cases, source_options)
    differences = _compare(ours, expected, against)
    worst = max(differences, key=lambda name: differences[name].scaled)
    passed = differences[worst].scaled <= arguments.tolerance
    _report(arguments, against, cases, ours, differences, passed)
    if not passed:
        note(f"error: output {worst!r} differs by {differences[worst].scaled:.2g}; the tolerance is "
             f"{arguments.tolerance:g}")
    return 0 if passed else 1


def _cases(arguments: argparse.Namespace, model: Model) -> list[Arrays]:
    import numpy as np

    from .random_inputs import random_inputs
    from .reading import load_npz

    if arguments.inputs:
        return [load_npz(arguments.inputs)]
    rng = np.random.default_rng(arguments.seed)
    return [random_inputs(model.graph, batch, steps, rng) for batch, steps in CASES]


def _run_ours(model: Model, case: Arrays) -> Arrays:
    results = model.predict(case)
    return results if isinstance(results, dict) else {next(iter(model.outputs)): results}


def _expected(arguments: argparse.Namespace, model: Model, cases: list[Arrays],
              options: ImportOptions) -> tuple[str, list[Arrays]]:
    """What the outputs are compared with, in words, and the outputs that they should be."""
    from . import frameworks
    from .reading import load_npz

    if arguments.outputs:
        return f"stored outputs {arguments.outputs}", [load_npz(arguments.outputs)]
    source = arguments.source
    framework = frameworks.framework_of(source) if source and not arguments.reference else None
    if framework and frameworks.installed(framework):
        name, answers = frameworks.run(framework, source, cases, spec=options.spec)
        return f"{source} in {name}", [frameworks.by_our_names(list(model.outputs), answer, framework)
                                       for answer in answers]
    if framework:
        note(f"{framework} is not installed; comparing with the float64 reference of {source}")
    return _reference(_source_graph(source, options) if source else model.graph, source, cases)


def _source_graph(source: Path, options: ImportOptions) -> Graph:
    from .. import format
    from ..importers import import_graph

    return format.load(source) if is_lstm(source) else import_graph(source, options)


def _reference(graph: Graph, source: Path | None, cases: list[Arrays]) -> tuple[str, list[Arrays]]:
    from .. import reference

    of = f"of {source}" if source else "of the model itself"
    return f"the float64 reference {of}", [reference.run(graph, case) for case in cases]


def _compare(ours: list[Arrays], expected: list[Arrays], against: str) -> dict[str, Difference]:
    from ..errors import FormatError
    from .differences import Difference, difference

    differences: dict[str, Difference] = {}
    for case, right in zip(ours, expected, strict=True):
        if set(right) != set(case):
            raise FormatError(f"{against}: holds {', '.join(right) or 'no outputs'}; the model's outputs are "
                              f"{', '.join(case)}")
        for name, array in case.items():
            if right[name].shape != array.shape or right[name].dtype.kind not in "fiub":
                raise FormatError(f"{against}: output {name!r} is {right[name].dtype} of shape "
                                  f"{list(right[name].shape)}; the model's is {array.dtype} of shape "
                                  f"{list(array.shape)}")
            differences.setdefault(name, Difference()).add(difference(array, right[name]))
    return differences


def _report(arguments: argparse.Namespace, against: str, cases: list[Arrays], ours: list[Arrays],
            differences: dict[str, Difference], passed: bool) -> None:
    shapes = {name: [list(case[name].shape) for case in ours] for name in differences}
    if arguments.json:
        outputs: dict[str, Any] = {
            name: {"shapes": shapes[name], "max_abs": found.absolute, "max_rel": found.relative,
                   "max_ulp": found.ulps, "max_scaled": found.scaled} for name, found in differences.items()}
        print_json({"against": against, "cases": len(cases), "seed": None if arguments.inputs else arguments.seed,
                    "tolerance": arguments.tolerance, "outputs": outputs, "passed": passed})
        return
    made = f"inputs {arguments.inputs}" if arguments.inputs else f"{len(cases)} made-up inputs, seed {arguments.seed}"
    print(f"against {against}; {made}")
    rows = [("output", "largest shape", "max abs", "max rel", "max ulp")]
    rows += [(name, str(max(shapes[name])), f"{found.absolute:.2e}", f"{found.relative:.2e}", f"{found.ulps:.0f}")
             for name, found in differences.items()]
    print(table(rows, right=(2, 3, 4)))
    print(f"{'within' if passed else 'beyond'} the tolerance of {arguments.tolerance:g} (absolute; relative above 1)")
