"""What the parts of the demo share: the shipped files, and the form of a result."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..console import Console

if TYPE_CHECKING:
    from ...model import Model

DATA = Path(__file__).resolve().parents[2] / "demo_data"


@dataclass
class Result:
    """One part's answer: lines for people, numbers for programs, and how far it is from the framework's own outputs.

    difference: absolute, relative above magnitude 1.
    """

    lines: list[str]
    numbers: dict[str, Any]
    framework: str
    difference: float
    tolerance: float


def convert(name: str, **options: Any) -> tuple[Model, float]:
    """A shipped checkpoint converted, and the seconds that took."""
    from ...errors import AssumptionWarning
    from ...loading import convert as convert_file

    started = time.perf_counter()
    with warnings.catch_warnings():
        # What weights alone leave open is settled here by the framework's own outputs, which every part compares with.
        warnings.simplefilter("ignore", AssumptionWarning)
        model = convert_file(DATA / name, **options)
    return model, time.perf_counter() - started


def stored(name: str) -> dict[str, np.ndarray]:
    """The arrays of a shipped .npz."""
    from ..reading import load_npz

    return load_npz(DATA / name)


def heading(console: Console, title: str, name: str, model: Model, seconds: float) -> list[str]:
    """The two lines that open a part: what it is, and which model it was converted from."""
    from ...summary import describe

    arrow = " → " if console.unicode else " -> "
    layers = arrow.join(describe(node) for node in model.graph.nodes)
    origin = f"{name}: {layers}; converted in {seconds * 1e3:.0f} ms"
    return [console.style(title, "bold"), console.style(origin, "dim"), ""]


def scaled_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference: absolute, relative above magnitude 1."""
    from ...verifying.differences import difference

    return difference(ours, theirs).scaled


def rate(run: Callable[[], int], budget: float = 0.15) -> float:
    """How much of what `run` counts is done per second: the best of the runs that fit into `budget` seconds, as other
    programs' work only ever makes one slower. At least three."""
    best, spent, runs = 0.0, 0.0, 0
    while runs < 3 or spent < budget:
        started = time.perf_counter()
        done = run()
        seconds = time.perf_counter() - started
        best, spent, runs = max(best, done / seconds), spent + seconds, runs + 1
    return best
