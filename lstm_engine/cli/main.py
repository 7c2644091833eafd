"""Finds the command, runs it, and turns what goes wrong into one line and an exit code.

Exit codes: 0; 1 the job failed; 2 the command line is wrong; 3 `verify` could not check everything; 130 interrupted;
141 the reader of stdout went away.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import NoReturn

from .. import __version__
from ..errors import LstmEngineError
from ..texts import one_line
from .arguments import UsageError
from .streams import standing_in

PROGRAM = "lstm-engine"
COMMANDS = {
    "convert": "turn a checkpoint into a .lstm file",
    "inspect": "show a model's layers, or propose a spec for a file of weights",
    "predict": "run a model on .npy, .npz or CSV data",
    "verify": "compare a model with the program that it came from, run in its framework",
    "quantize": "make a model's weights smaller: int8, bfloat16, float16",
    "bench": "time a model, alone or against the framework it came from",
    "demo": "convert and run the three shipped models",
    "info": "show the version and what this machine can do",
}
FAILED, USAGE, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141


class _Parser(argparse.ArgumentParser):
    """Its errors are one line, like all others."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    """The parser of the program; only the chosen command's module is imported for its arguments."""
    parser = _Parser(prog=PROGRAM, description="Run trained recurrent networks on CPUs, without the framework that "
                                               "trained them.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        if name != chosen:
            commands.add_parser(name, help=text)
            continue
        module = importlib.import_module(f".{name}", __package__)
        command = commands.add_parser(name, help=text, description=module.__doc__, allow_abbrev=False,
                                      formatter_class=argparse.RawDescriptionHelpFormatter)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code and never raises for what a user can cause."""
    argv = sys.argv[1:] if argv is None else list(argv)
    with standing_in():
        return _guarded(argv)


def _guarded(argv: list[str]) -> int:
    try:
        with _output():
            return _run(argv)
    except UsageError as error:
        return _fail(str(error), USAGE)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        return BROKEN_PIPE
    except RecursionError:
        return _fail("a file is nested too deeply", FAILED)
    except (LstmEngineError, OSError, MemoryError) as error:
        return _fail(_message(error), FAILED)


def _run(argv: list[str]) -> int:
    chosen = next((argument for argument in argv if not argument.startswith("-")), None)
    try:
        arguments = _parser(chosen).parse_args(argv)
    except SystemExit as stop:          # --help and --version have printed what was asked for
        return int(stop.code or 0)
    code: int = arguments.run(arguments)
    return code


@contextlib.contextmanager
def _output() -> Iterator[None]:
    """Write stdout to its end inside the block: a full disk or a closed pipe is noticed while it can be told."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")      # a layer's name may hold what the terminal cannot show
    try:
        yield
        sys.stdout.flush()
    except OSError:
        _leave_broken_stdout()
        raise


def _leave_broken_stdout() -> None:
    """Put the null device in the place of a stdout that takes no more: the interpreter flushes it when it ends."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        if isinstance(error, LstmEngineError) or not error.filename:
            return error.strerror
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError) and not str(error):
        return "not enough memory"
    return str(error)


def _fail(message: str, code: int) -> int:
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{PROGRAM}: error: {one_line(message)}\n")
        sys.stderr.flush()
    return code
