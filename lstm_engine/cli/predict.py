"""Run a model on data from a file or stdin.

INPUT is an .npy array, an .npz of arrays by input name, or CSV ("-": CSV from stdin): a row of token ids is one
sequence; numbers come one step a row (docs/cli.md). How a CSV was read is said on stderr; what can be read in two
ways is an error that names the option for each. For a model that takes texts: .txt, or "-", a text a line. The answer
is CSV on stdout, or the file named by -o: .npy, .npz (also for several outputs) or .csv. A file that stands there is
replaced only by a whole new one."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import UsageError, add_model, add_readings, add_spec, open_model
from .console import note
from .csv_arguments import add_csv, add_pad, csv_options, pad_option
from .limit_arguments import add_limits
from .values import count, threads

if TYPE_CHECKING:
    from ..model import Model
    from .sequences import Sequences

BATCH_SIZE = 128            # rows between two looks at Ctrl-C, and a step of the progress bar
LONG_JOB = 2e10             # multiplications, about a second's worth: from here on a terminal sees a progress bar


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("input", metavar="INPUT", help=".npy, .npz, .csv or .txt; - is CSV, or texts, on stdin")
    parser.add_argument("-o", "--output", metavar="OUT", help=".npy, .npz or .csv (default: CSV on stdout)")
    parser.add_argument("--lengths", metavar="LIST", help="the real steps of each row of a padded array: 17,5,88 or "
                                                          "an .npy file")
    parser.add_argument("--batch-size", type=count, default=BATCH_SIZE, metavar="ROWS",
                        help="rows to run at a time (default: %(default)s)")
    parser.add_argument("--threads", type=threads, metavar="N", help="at most this many threads")
    parser.add_argument("--nan", choices=("propagate", "error", "mask"),
                        help="what a NaN, or with this option an empty cell, means: NaN from there on, an error, or a "
                             "step to leave out (default: propagate; an empty cell is an error)")
    add_limits(parser, runs=True)
    add_readings(parser)
    add_spec(parser)
    add_csv(parser)
    add_pad(parser)


def run(arguments: argparse.Namespace) -> int:
    from .reading import read_input, read_lengths
    from .writing import check_names, check_target, keeping_what_is_read, refuse_to_replace, write_csv, write_file

    options, pad = csv_options(arguments), pad_option(arguments)
    if pad is not None and arguments.lengths is not None:
        raise UsageError("--lengths and --pad exclude each other: padded sequences run to their end")
    target = None if arguments.output in (None, "-") else Path(arguments.output)
    if target is not None:
        check_target(target)
        refuse_to_replace(target, {"MODEL": arguments.model, "INPUT": arguments.input, "--lengths": arguments.lengths,
                                   "--spec": arguments.spec})
    with keeping_what_is_read(target):
        model = open_model(arguments)
    if target is not None:
        check_names(target, model.outputs)
    if target is None or target.suffix.lower() != ".npz":
        _check_one_output(model)
    given = read_input(arguments.input, model, options, pad)
    if given.told:
        note(given.told)
        _warn_of_padding(model, given)
    if arguments.lengths is not None:
        if given.lengths is not None:
            raise UsageError("--lengths: the sequences in the input have their own")
        given.lengths = read_lengths(arguments.lengths)
    results = _predict(model, given, arguments)
    if target is None or target.suffix.lower() == ".csv":
        results, given = _rows_first(model, results, given)
    if target is None:
        write_csv(sys.stdout, results, given)
    else:
        write_file(target, results, given)
    return 0


def _warn_of_padding(model: Model, given: Sequences) -> None:
    """Unequal sequences leave padding out, which is another question to a model that has learnt from it."""
    from ..plan.ragged import padding_of

    if given.lengths is not None and (padding := padding_of(model.graph)) is not None and padding.mask != "all":
        note("the sequences differ in length and are not padded, and not every layer of the model has a mask: if it "
             "was trained on padded sequences, type --pad LENGTH")


def _check_one_output(model: Model) -> None:
    if len(model.outputs) != 1:
        raise UsageError(f"the model has {len(model.outputs)} outputs ({', '.join(model.outputs)}): give -o OUT.npz")


def _predict(model: Model, given: Sequences, arguments: argparse.Namespace) -> dict[str, Any]:
    rows = max((len(array) for array in given.arrays.values() if array.ndim), default=1)
    progress = sys.stderr.isatty() and rows > 1 and _multiplications(model, given) > LONG_JOB
    try:
        results = model.predict(given.arrays, given.lengths, batch_size=arguments.batch_size, progress=progress,
                                threads=arguments.threads, nan=arguments.nan or "propagate")
    except BaseException:
        if progress:
            sys.stderr.write("\n")          # what is said about it starts below the bar
        raise
    return results if isinstance(results, dict) else {next(iter(model.outputs)): results}


def _rows_first(model: Model, results: dict[str, Any], given: Sequences) -> tuple[dict[str, Any], Sequences]:
    """The one output with a row a sequence, as CSV has it; the lengths only where they are those of its steps."""
    import numpy as np

    axes = model._plan.axes
    (name, array), = results.items()
    batch, time = axes.batch_axis(name), axes.time(name)
    if batch is not None:
        array = np.moveaxis(array, batch, 0) if time is None else axes.batch_and_time_first(name, array)
    own = time is not None and time in [axes.time(given_name) for given_name in given.arrays]
    return {name: array}, replace(given, lengths=given.lengths if own else None)


def _multiplications(model: Model, given: Sequences) -> float:
    """About how many a run takes: each parameter but those of embeddings, once a step of every row."""
    from ..graph import Embedding

    parameters = sum(array.size for node in model.graph.nodes if not isinstance(node, Embedding)
                     for array in node.tensors().values())
    steps = max((array.shape[0] * (array.shape[1] if array.ndim > 1 else 1)
                 for array in given.arrays.values() if array.ndim), default=1)
    return float(parameters) * steps
