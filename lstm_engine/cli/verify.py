"""Compare a model with the program that it came from, run in its own framework, and say what could not be checked.

The source is --source, or MODEL itself where that is a checkpoint: .onnx runs in ONNX Runtime, .keras and .h5 in Keras,
.pt2 in PyTorch, each in a process of its own; TorchScript, which is code, with --run-source alone. Without --inputs,
inputs are made up from a seed. Exit code 0: all was checked and nothing differs; 1: something differs; 3: nothing
differs, but not everything could be checked (a file of weights alone does not hold the program)."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..texts import one_line
from .arguments import (
    CHECKPOINT_OPTIONS,
    UsageError,
    add_model,
    add_readings,
    add_spec,
    import_options,
    open_model,
    print_json,
    refuse_options,
)
from .console import note, table
from .limit_arguments import add_limits
from .values import counts, path, positive, seed

if TYPE_CHECKING:
    from ..verifying.report import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--source", type=path, metavar="SRC",
                        help="the checkpoint that the model came from (default: MODEL, where it is one)")
    parser.add_argument("--run-source", action="store_true",
                        help="run a TorchScript source in PyTorch: this runs the code in the file")
    parser.add_argument("--reference", action="store_true",
                        help="check the engine alone, against our own float64 reference; exit code 3 at best")
    parser.add_argument("--inputs", type=path, metavar="IN.npz", help="arrays by input name")
    parser.add_argument("--outputs", type=path, metavar="OUT.npz", help="what the outputs should be, by output name")
    parser.add_argument("--batch", type=counts, metavar="LIST", help="rows of inputs made up (default: several)")
    parser.add_argument("--steps", type=counts, metavar="LIST", help="steps of inputs made up (default: several)")
    parser.add_argument("--tolerance", type=positive, metavar="T",
                        help="largest difference: absolute, relative above 1 (default: by how exact the framework "
                             "itself is on these inputs; 1e-5 for --outputs)")
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="of inputs made up (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_limits(parser, runs=True)
    add_readings(parser)
    add_spec(parser)


def run(arguments: argparse.Namespace) -> int:
    from ..loading import is_own
    from ..verifying import verify
    from .reading import load_npz

    if arguments.outputs and not arguments.inputs:
        raise UsageError("--outputs needs the --inputs that they belong to")
    if arguments.outputs and (arguments.source or arguments.reference):
        raise UsageError("--outputs excludes --source and --reference: one of them says what is right")
    if arguments.inputs and (arguments.batch or arguments.steps):
        raise UsageError("--batch and --steps are for inputs made up; --inputs has its own sizes")
    source, said = arguments.source, import_options(arguments)
    if is_own(arguments.model):                  # then they speak of the source
        if not source:
            refuse_options(arguments)
        if arguments.weights:
            raise UsageError("--weights belongs to a Keras model's JSON, which is not run here; give --source the "
                             ".keras file")
        for option in CHECKPOINT_OPTIONS:
            setattr(arguments, option, None)
    elif not source and not arguments.outputs:
        source = arguments.model
    model = open_model(arguments, say=False)         # the report says what was assumed
    if arguments.run_source:
        note(f"--run-source: code in {source} is run, if it has any")
    report = verify(model, source, load_npz(arguments.inputs) if arguments.inputs else None,
                    outputs=load_npz(arguments.outputs) if arguments.outputs else None, spec=said.spec, pool=said.pool,
                    activations=said.activations, order=said.order, data_folder=said.data_folder,
                    custom_objects=said.custom_objects,
                    batch=arguments.batch, steps=arguments.steps, seed=arguments.seed, tolerance=arguments.tolerance,
                    run_source=arguments.run_source, reference=arguments.reference)
    _print(report, arguments)
    for sentence in report.unchecked:
        note(f"not checked: {sentence}")
    for sentence in report.differences:
        note(f"error: {sentence}")
    return report.code


def _print(report: Report, arguments: argparse.Namespace) -> None:
    if arguments.json:
        told: dict[str, Any] = {
            "against": report.against, "seed": None if arguments.inputs else arguments.seed, "ok": report.ok,
            "exit_code": report.code, "tolerance": report.why, "checked": report.checked, "unchecked": report.unchecked,
            "differences": report.differences, "remarks": report.remarks,
            "outputs": {name: figures.as_dict() for name, figures in report.outputs.items()}}
        print_json(told)
        return
    made = f"inputs {arguments.inputs}" if arguments.inputs else f"made-up inputs, seed {arguments.seed}"
    print(one_line(f"against {report.against}; {made}"))
    if report.outputs:
        print(table(report.rows(), right=range(2, 8)))
    for line in report.lines():
        print(one_line(line))
