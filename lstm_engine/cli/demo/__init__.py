"""Convert the three models that ship with this program and run them on real input.

text      a character model trained in Keras on Shakespeare (.keras) writes on and tells verse from prose
forecast  an LSTM trained in PyTorch (.pt) forecasts a year of CO2 at Mauna Loa, charted with the truth
dates     a bidirectional LSTM exported from PyTorch to ONNX (.onnx) finds the dates in lines of text

Every answer is compared with the framework's own, stored beside the model; a difference beyond rounding fails.
Reading .keras needs h5py and .onnx needs onnx (pip install 'lstm-engine[convert]'); what is missing is left out."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import TYPE_CHECKING

from ..arguments import UsageError, print_json
from ..console import Console, note
from ..values import positive, seed, threads

if TYPE_CHECKING:
    from .common import Result

PARTS = ("text", "forecast", "dates")
PROMPT = "Enter the Duke, with lanterns.\n\nDUKE:\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    # No `choices`: before Python 3.12 they refuse the empty list.
    parser.add_argument("parts", nargs="*", metavar="PART", help="text, forecast, dates (default: all)")
    parser.add_argument("--prompt", default=PROMPT, metavar="TEXT", help="what the character model continues")
    parser.add_argument("--length", type=_length, default=360, metavar="N",
                        help="characters to write (default: %(default)s)")
    parser.add_argument("--temperature", type=positive, default=0.5, metavar="T",
                        help="below 1: likelier characters, above: bolder ones (default: %(default)s)")
    parser.add_argument("--seed", type=seed, default=1, metavar="N", help="of the dice (default: %(default)s)")
    parser.add_argument("--threads", type=threads, metavar="N", help="at most this many threads")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")


def _length(text: str) -> int:
    number = seed(text)
    if number > 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is more than a million")
    return number


def run(arguments: argparse.Namespace) -> int:
    import time

    from ...errors import MissingDependencyError

    for part in arguments.parts:
        if part not in PARTS:
            raise UsageError(f"{part!r} is no part of the demo; there are {', '.join(PARTS)}")
    console = Console()
    started = time.perf_counter()
    results: dict[str, Result] = {}
    missing = 0
    for part in PARTS:
        if arguments.parts and part not in arguments.parts:
            continue
        try:
            results[part] = importlib.import_module(f".{part}", __name__).run(arguments, console)
        except MissingDependencyError as error:
            note(f"{part} is left out: {error}")
            missing += 1
            continue
        if not arguments.json:
            print("\n".join(results[part].lines) + "\n")
            sys.stdout.flush()
    wrong = _wrong(results)
    seconds = time.perf_counter() - started
    if arguments.json:
        print_json({**{part: result.numbers for part, result in results.items()}, "seconds": seconds,
                    "passed": not wrong and not missing})
    elif results:
        print(_closing(len(results), seconds, arguments.threads, wrong))
    for message in wrong:
        note(f"error: {message}")
    return 1 if wrong or missing else 0


def _wrong(results: dict[str, Result]) -> list[str]:
    """What differs from the framework's stored outputs by more than rounding explains."""
    return [f"{part}: the outputs differ from {result.framework}'s by {result.difference:.2g}, more than "
            f"{result.tolerance:g}" for part, result in results.items() if not result.difference <= result.tolerance]


def _closing(count: int, seconds: float, threads: int | None, wrong: list[str]) -> str:
    from ... import __version__
    from ...runtime import isa, num_threads

    models, used = f"{count} model{'s' * (count > 1)}", num_threads(threads)
    return (f"{models} converted, run and compared in {seconds:.1f} s by lstm-engine {__version__} "
            f"({isa()} kernels, {used} thread{'s' * (used > 1)})" + ("" if wrong else "; all outputs agree"))
