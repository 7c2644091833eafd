"""Runs one checkpoint on many inputs and, so that it is known how exact its framework is, again: with every weight and
floating-point input moved by one unit in the last place, and in float64.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Run = Callable[[list[str], list[np.ndarray]], list[Any]]       # names and arrays of the inputs -> outputs
LEAST_RUNS = 5


@dataclass
class Opened:
    """A checkpoint in its framework.

    names: of the outputs, none where they go by place. wanted: what the framework says of each input (name, shape with
    None for a free size, dtype). nudged: the same with its weights moved; wide: the same in float64; None: it cannot.
    """

    version: str
    names: list[str]
    run: Run
    wanted: list[dict[str, Any]] = field(default_factory=list)
    nudged: Callable[[np.random.Generator], Run] | None = None
    wide: Callable[[], Run] | None = None
    remarks: list[str] = field(default_factory=list)


class WeightsOnly(Exception):
    """The file holds weights and no program."""


def measure(opened: Opened, cases: Sequence[tuple[list[str], list[np.ndarray]]], slots: Sequence[int], *, nudges: int,
            exact: bool, seconds: float, leave_out: Set[int] = frozenset()) -> tuple[dict[str, Any], dict[str, Any]]:
    """(answer, outputs): of the cases of one slot the first runs that the framework takes.

    Outputs are named "case.place", with ".exact" or ".nudge0" and so on behind.
    """
    told: list[dict[str, Any]] = []
    arrays: dict[str, Any] = {}
    done = set(leave_out)
    for number, ((names, given), slot) in enumerate(zip(cases, slots, strict=True)):
        if slot in done:
            told.append({"skipped": True})
            continue
        try:
            outputs = [np.asarray(output) for output in opened.run(names, given)]
        except Exception as error:
            told.append({"error": first_line(error)})
            continue
        done.add(slot)
        arrays.update({f"{number}.{place}": output for place, output in enumerate(outputs)})
        told.append({"names": opened.names or [str(place) for place in range(len(outputs))],
                     "seconds": _median_seconds(opened.run, names, given, seconds) if seconds else None})
    ran = [number for number, answer in enumerate(told) if "names" in answer]
    remarks = list(opened.remarks)
    rng = np.random.default_rng(0)
    for count in range(nudges):
        run, weights = _nudged_run(opened, rng, remarks)
        for number in ran:
            names, given = cases[number]
            if weights or any(array.dtype.kind == "f" for array in given):
                with contextlib.suppress(Exception):
                    outputs = run(names, [nudged(array, rng) for array in given])
                    arrays.update({f"{number}.{place}.nudge{count}": np.asarray(output)
                                   for place, output in enumerate(outputs)})
    if exact and opened.wide is not None:
        with contextlib.suppress(Exception):       # then the nudged runs alone say how exact the framework is
            run = opened.wide()
            wide = {}
            for number in ran:
                wide.update({f"{number}.{place}.exact": np.asarray(output)
                             for place, output in enumerate(run(*cases[number]))})
            arrays.update(wide)
    return {"version": opened.version, "cases": told, "wanted": opened.wanted,
            "remarks": list(dict.fromkeys(remarks))}, arrays


def _nudged_run(opened: Opened, rng: np.random.Generator, remarks: list[str]) -> tuple[Run, bool]:
    if opened.nudged is not None:
        try:
            return opened.nudged(rng), True
        except Exception as error:
            remarks.append(f"the weights could not be moved by a unit in the last place ({first_line(error)}); "
                           "the inputs alone were")
    return opened.run, False


def nudged(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every number moved up or down by one unit in the last place; zeros and whole numbers in place of weights stay."""
    if array.dtype.kind != "f":
        return array
    up = rng.random(array.shape) < 0.5
    toward = np.where(up, array.dtype.type(np.inf), array.dtype.type(-np.inf))
    with np.errstate(all="ignore"):
        return np.where((array == 0) | ~np.isfinite(array), array, np.nextafter(array, toward)).astype(array.dtype)


def is_weight(array: np.ndarray) -> bool:
    """Whether an array of a model is one of numbers that rounding could have moved: not a flag, threshold or index."""
    return array.dtype.kind == "f" and array.size > 1 and bool((array != np.rint(array)).any())


def _median_seconds(run: Run, names: list[str], given: list[np.ndarray], budget: float) -> float:
    run(names, given)
    times: list[float] = []
    while len(times) < LEAST_RUNS or sum(times) < budget:
        started = time.perf_counter()
        run(names, given)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def ordered(wanted: list[str], names: list[str], given: list[np.ndarray]) -> list[np.ndarray]:
    """The arrays in the framework's order: by name where the names are the same, else as they come."""
    if len(wanted) != len(given):
        raise ValueError(f"the checkpoint has {len(wanted)} inputs ({', '.join(wanted)}), got {len(given)}")
    return [given[names.index(name)] for name in wanted] if set(wanted) == set(names) else given


def first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
