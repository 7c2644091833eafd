"""What a model and its calls may take: the limits that a caller sets, and how being over one is said."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from typing import Any

from .arguments import shown, whole_number
from .errors import ArgumentError, LimitError

LEAST_MEMORY = 4 << 30          # what a call may take by default, however small its model and inputs,
MEMORY_FACTOR = 64              # and how many times its weights and inputs
LEAST_WORK = 1 << 34            # nanoseconds: some 17 seconds
WORK_FACTOR = 64                # and how many for each weight and number of the inputs


@dataclass(frozen=True)
class Limits:
    """What a model may take: a small file can ask for any amount of memory and time, by what its graph computes.

    memory: bytes that one call may need beside its weights and inputs, before it takes them. None: 4 GiB, or 64 times
        the weights and inputs together, whichever is more.
    work: about how many nanoseconds of one core a call may take, by an estimate that counts operations. None: 2^34 (17
        seconds), or 64 for each pair of a weight (or node) and a number of the inputs, whichever is more.
    steps: of a sequence in one call. None: any number.
    nodes: of the graph, as it is after conversion. None: what the readers of files allow.
    weights: bytes of weights, each counted once. None: any.
    They belong to the model in memory and to its streams and pickles, and are not written by `Model.save`. Whatever is
    over a limit is a LimitError that says what, how much, and how to allow it. See docs/limits.md.
    """

    memory: int | None = None
    work: int | None = None
    steps: int | None = None
    nodes: int | None = None
    weights: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                object.__setattr__(self, field.name, whole_number(value, f"Limits: {field.name}", most=None))

    @classmethod
    def untrusted(cls, **changes: Any) -> Limits:
        """For models of strangers in a service: 512 MiB and about 8 seconds a call, 65,536 steps, 5,000 nodes, 1 GiB of
        weights. changes: fields to be otherwise."""
        return replace(cls(memory=512 << 20, work=1 << 33, steps=1 << 16, nodes=5000, weights=1 << 30), **changes)

    def most_memory(self, weights: int, inputs: int) -> int:
        """Bytes of a call on inputs of so many bytes, of a model of so many bytes of weights."""
        return max(LEAST_MEMORY, MEMORY_FACTOR * (weights + inputs)) if self.memory is None else self.memory

    def most_work(self, weights: int, inputs: int) -> int:
        """Nanoseconds of a call on so many numbers, of a model of so many weights and nodes."""
        return max(LEAST_WORK, WORK_FACTOR * weights * inputs) if self.work is None else self.work


def checked_limits(given: Any) -> Limits:
    """What a caller gives as `limits`; None: the defaults."""
    if given is None:
        return Limits()
    if not isinstance(given, Limits):
        raise ArgumentError(f"limits: expected le.Limits(...), got {shown(given)}")
    return given


def check_size(path: str, limits: Limits) -> None:
    """Raise LimitError for a file that is larger than the weights may be, before it is read."""
    if limits.weights is not None and os.path.isfile(path):
        check_held(path, os.stat(path).st_size, limits)


def check_held(name: str, size: int, limits: Limits) -> None:
    """The same of a file that has `size` bytes, on disk or in memory."""
    most = most_bytes(limits)
    if limits.weights is not None and most is not None and size > most:
        raise over(f"{name}: the file has", "weights", size, limits.weights, "bytes")


def most_bytes(limits: Limits) -> int | None:
    """How many bytes the file of a model may have: beside the weights there may be a graph. None: any."""
    return None if limits.weights is None else limits.weights + (64 << 20)


MOST_SHOWN = 10**18


def over(what: str, field: str, needed: int, most: int, unit: str) -> LimitError:
    """The error for `what`, which needs so many `unit` where a field of Limits allows `most`."""
    if needed > MOST_SHOWN:                 # sizes of a stranger's graph multiply without end
        return LimitError(f"{what} more than {MOST_SHOWN:,} {unit}; at most {most:,} are allowed (Limits.{field})")
    return LimitError(f"{what} {needed:,} {unit}; at most {most:,} are allowed (Limits.{field}). If that is meant: "
                      f"limits=le.Limits({field}={needed}), or --max-{field} {needed}")
