"""Time a model: the median of whole runs on made-up inputs, ours alone in this process.

--against times the checkpoint --source in its own framework as well (.onnx: onnxruntime, .keras and .h5: keras,
.pt2: torch), in a process of its own. Outputs are compared before any time is believed."""

from __future__ import annotations

import argparse
import itertools
from typing import TYPE_CHECKING, Any

from .arguments import UsageError, add_model, add_readings, add_spec, open_model, print_json
from .console import note, table
from .limit_arguments import add_limits
from .values import counts, path, positive, seed

if TYPE_CHECKING:
    import numpy as np

    from ..model import Model

LEAST_RUNS = 5
TOLERANCE = 1e-4            # absolute, relative above 1: the outputs of float32 engines after hundreds of steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--batch", type=counts, default=[1, 64], metavar="LIST", help="rows (default: 1,64)")
    parser.add_argument("--steps", type=counts, default=[100], metavar="LIST", help="time steps (default: 100)")
    parser.add_argument("--threads", type=counts, metavar="LIST", help="(default: as info says)")
    parser.add_argument("--against", type=_frameworks, default=[], metavar="LIST", help="onnxruntime, keras, torch")
    parser.add_argument("--source", type=path, metavar="SRC", help="the checkpoint that they run (default: MODEL)")
    parser.add_argument("--seconds", type=positive, default=0.5, metavar="S",
                        help="to spend on each figure (default: %(default)s)")
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="of the inputs (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_limits(parser, runs=True)
    add_readings(parser)
    add_spec(parser)


def _frameworks(text: str) -> list[str]:
    from ..verifying.frameworks import NAMES

    names = text.split(",")
    for name in names:
        if name not in NAMES:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(NAMES)}")
    return names


def run(arguments: argparse.Namespace) -> int:
    import numpy as np

    from ..runtime import num_threads
    from ..verifying.made_up import random_inputs

    engines = _engines(arguments)
    model = open_model(arguments)
    rng = np.random.default_rng(arguments.seed)
    sizes = list(itertools.product(arguments.batch, arguments.steps))
    cases = [random_inputs(model.graph, batch, steps, rng) for batch, steps in sizes]
    results: list[dict[str, Any]] = []
    for threads in arguments.threads or [num_threads()]:
        rows = [{"batch": batch, "steps": steps, "threads": threads, "seconds": {}, "difference": {}}
                for batch, steps in sizes]
        outputs = []
        for row, case in zip(rows, cases, strict=True):
            outputs.append(model.predict(case, threads=threads))
            row["seconds"]["lstm-engine"] = _median_seconds(model, case, threads, arguments.seconds)
        for engine in engines:
            _add_engine(engine, arguments, model, rows, cases, outputs, threads)
        results += rows
    _report(arguments, model, ["lstm-engine", *engines], results)
    return 0


def _engines(arguments: argparse.Namespace) -> list[str]:
    """The frameworks to time: each must be the one that runs the source's kind of file."""
    from ..verifying.frameworks import framework_of, installed

    source = arguments.source or arguments.model
    for name in arguments.against:
        if framework_of(source) != name:
            runs = framework_of(source)
            raise UsageError(f"--against {name}: {source} is " + (f"run by {runs}" if runs else
                             "no file that a framework can run; give one with --source"))
    missing = [name for name in arguments.against if not installed(name)]
    for name in missing:
        note(f"{name} is not installed and is left out")
    return [name for name in arguments.against if name not in missing]


def _median_seconds(model: Model, case: dict[str, np.ndarray], threads: int, budget: float) -> float:
    import statistics
    import time

    times: list[float] = []
    while len(times) < LEAST_RUNS or sum(times) < budget:
        started = time.perf_counter()
        model.predict(case, threads=threads)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _add_engine(engine: str, arguments: argparse.Namespace, model: Model, rows: list[dict[str, Any]],
                cases: list[dict[str, np.ndarray]], outputs: list[Any], threads: int) -> None:
    """Run and time one framework; its outputs must be ours. Raises LstmEngineError where they are not."""
    from ..errors import LstmEngineError
    from ..verifying import frameworks
    from ..verifying.differences import difference

    _, answers = frameworks.run(engine, arguments.source or arguments.model, cases, spec=arguments.spec,
                                threads=threads, seconds=arguments.seconds)
    for row, ours, answer in zip(rows, outputs, answers, strict=True):
        named = ours if isinstance(ours, dict) else {next(iter(model.outputs)): ours}
        theirs = frameworks.by_our_names(list(named), answer, engine)
        for name, array in named.items():
            if array.shape != theirs[name].shape:
                raise LstmEngineError(f"output {name!r} has shape {list(array.shape)}, {engine}'s "
                                      f"{list(theirs[name].shape)}")
        worst = max(difference(array, theirs[name]).scaled for name, array in named.items())
        if not worst <= TOLERANCE and (model.quantization is None or worst == float("inf")):
            raise LstmEngineError(f"batch {row['batch']}, {row['steps']} steps: the outputs differ from {engine}'s by "
                                  f"{worst:.2g}, more than {TOLERANCE:g}; nothing is compared")
        row["seconds"][engine], row["difference"][engine] = answer.seconds, worst


def _report(arguments: argparse.Namespace, model: Model, engines: list[str], results: list[dict[str, Any]]) -> None:
    if arguments.json:
        print_json({"model": arguments.model.name, "isa": model.isa, "gemm": model.gemm, "dtype": model.dtype,
                    "weight_dtype": model.weight_dtype, "results": results})
        return
    weights = "" if model.quantization is None else f"{model.weight_dtype} weights, "
    print(f"{arguments.model.name}: median milliseconds of a run; {weights}{model.dtype}, {model.isa} kernels, "
          f"gemm {model.gemm}")
    rows = [("batch", "steps", "threads", *engines, *(f"{name} / ours" for name in engines[1:]))]
    for result in results:
        seconds = result["seconds"]
        rows.append((str(result["batch"]), str(result["steps"]), str(result["threads"]),
                     *(f"{seconds[name] * 1e3:.3f}" for name in engines),
                     *(f"{seconds[name] / seconds['lstm-engine']:.1f}" for name in engines[1:])))
    print(table(rows, right=range(len(rows[0]))))
    for name in engines[1:]:
        told = "" if model.quantization is None else f" ({model.weight_dtype} weights beside its own: not judged)"
        print(f"largest difference from {name}: {max(result['difference'][name] for result in results):.1e}{told}")
