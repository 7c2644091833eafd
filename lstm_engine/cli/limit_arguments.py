"""What a model and its runs may take, on the command line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .arguments import count

if TYPE_CHECKING:
    from ..limits import Limits

_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def size(text: str) -> int:
    """A number of bytes: 4294967296, 512M, 4G."""
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    if not (number.isascii() and number.isdigit()) or unit not in _UNITS or len(number) > 20 or int(number) == 0:
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not a number of bytes, such as 4294967296, 512M or 4G")
    return int(number) << _UNITS[unit]


def long_count(text: str) -> int:
    """A whole number of at least 1, of any size."""
    if not (text.isascii() and text.isdigit()) or len(text) > 30 or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not a whole number of at least 1")
    return int(text)


def add_limits(parser: argparse.ArgumentParser, runs: bool) -> None:
    """runs: whether the command runs the model, too."""
    group = parser.add_argument_group("limits", "what a model may take (docs/limits.md)")
    group.add_argument("--untrusted", action="store_true",
                       help="the tighter limits for models of strangers; those below go before them")
    group.add_argument("--max-nodes", type=count, metavar="N", help="nodes of the model's graph")
    group.add_argument("--max-weights", type=size, metavar="BYTES", help="bytes of its weights: 268435456, 256M, 1G")
    if runs:
        group.add_argument("--max-memory", type=size, metavar="BYTES",
                           help="what a run may need beside weights and inputs (default: 4G, or 64 times these)")
        group.add_argument("--max-steps", type=count, metavar="N", help="steps of a sequence")
        group.add_argument("--max-work", type=long_count, metavar="NS",
                           help="about how many nanoseconds of one core a run may take, by an estimate")


def limits_of(arguments: argparse.Namespace) -> Limits:
    """The limits that the command line sets."""
    from ..limits import Limits

    given = {name: value for name in ("memory", "work", "steps", "nodes", "weights")
             if (value := getattr(arguments, f"max_{name}", None)) is not None}
    return Limits.untrusted(**given) if arguments.untrusted else Limits(**given)
