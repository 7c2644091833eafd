"""The options that say how a CSV is to be read and its sequences padded."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .arguments import UsageError
from .values import count

if TYPE_CHECKING:
    from .csv_text import CsvOptions
    from .sequences import Pad

SIDES = ("left", "right")
LONGEST = "longest"
_WORDS = {"tab": "\t", "\\t": "\t", "space": " "}        # what a shell lets through


def add_csv(parser: argparse.ArgumentParser) -> None:
    """How INPUT is read where it is CSV."""
    group = parser.add_argument_group("how CSV is read (docs/cli.md)")
    group.add_argument("--sep", type=_separator, metavar="C", help="between fields: a character, tab or space "
                                                                    "(default: a comma)")
    group.add_argument("--decimal", choices=(".", ","), help="the decimal mark (default: .)")
    group.add_argument("--header", action=argparse.BooleanOptionalAction,
                       help="the first row names the columns, or not")
    group.add_argument("--index", action=argparse.BooleanOptionalAction,
                       help="the first column only counts or dates the rows and is left out, or not")
    group.add_argument("--name-column", metavar="COL",
                       help="the column that names the sequences: its number from 1, or its name in the heading")
    group.add_argument("--columns", type=_columns, metavar="LIST",
                       help="the columns of the features, in this order: 2,3 or temp,wind (default: all others)")
    group.add_argument("--rows", choices=("steps", "sequences"),
                       help="whether a row is a step of a sequence or a whole one (default: by the model's input)")


def add_pad(parser: argparse.ArgumentParser) -> None:
    """Padding of the sequences in a CSV."""
    group = parser.add_argument_group("for models that were trained on padded sequences and have no mask")
    group.add_argument("--pad", type=_length, metavar="LENGTH",
                       help="pad and cut the sequences of a CSV to this many steps, or to those of the 'longest'")
    group.add_argument("--pad-side", choices=SIDES, help="where to pad (default: left)")
    group.add_argument("--pad-value", type=_number, metavar="V", help="what to pad with (default: 0)")
    group.add_argument("--truncate", choices=SIDES, help="where longer sequences are cut (default: left)")


def csv_options(arguments: argparse.Namespace) -> CsvOptions:
    """What `add_csv` and --nan said."""
    from .csv_text import CsvOptions

    return CsvOptions(arguments.sep, arguments.decimal, arguments.header, arguments.index, arguments.name_column,
                      arguments.columns, arguments.rows, missing=arguments.nan in ("propagate", "mask"))


def pad_option(arguments: argparse.Namespace) -> Pad | None:
    """What `add_pad` said; None where nothing is padded."""
    from .sequences import Pad

    if arguments.pad is None:
        for option, given in (("--pad-side", arguments.pad_side), ("--pad-value", arguments.pad_value),
                              ("--truncate", arguments.truncate)):
            if given is not None:
                raise UsageError(f"{option} needs the --pad LENGTH that it belongs to")
        return None
    return Pad(None if arguments.pad == LONGEST else arguments.pad, arguments.pad_side or "left",
               arguments.truncate or "left", arguments.pad_value or 0.0)


def _separator(text: str) -> str:
    character = _WORDS.get(text, text)
    if len(character) != 1 or character.isalnum() or character in "\"'.+-\r\n\0":
        raise argparse.ArgumentTypeError(f"{text!r} is no character that may stand between fields (or tab, space)")
    return character


def _columns(text: str) -> tuple[str, ...]:
    columns = tuple(part.strip() for part in text.split(","))
    if not all(columns) or len(set(columns)) != len(columns):
        raise argparse.ArgumentTypeError(f"{text!r}: expected numbers from 1 or names of columns, each once, with "
                                         "commas between")
    return columns


def _length(text: str) -> int | str:
    return LONGEST if text == LONGEST else count(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
