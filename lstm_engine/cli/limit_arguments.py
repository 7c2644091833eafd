"""What a model and its runs may take, on the command line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .values import count, long_count, size

if TYPE_CHECKING:
    from ..limits import Limits


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
