"""The outputs of two models on the same data, and in how many decisions they differ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..graph.quantization import OutputDifference
from ..model import Model
from ..types import Array

Answers = dict[str, list[Array]]            # by output: an array, or one for each sequence of a list


def answers(model: Model, data: Any) -> Answers:
    """What a model gives for `data`, as `predict` takes it."""
    made: Any = model.predict(data)
    named = made if isinstance(made, Mapping) else {next(iter(model.outputs)): made}
    return {name: list(output) if isinstance(output, list) else [output] for name, output in named.items()}


def differences(exact: Answers, ours: Answers) -> tuple[OutputDifference, ...]:
    """Each output beside that of the float model, `exact`. Where one is NaN and the other is not, they are infinitely
    far apart."""
    return tuple(_difference(name, arrays, ours[name]) for name, arrays in exact.items())


def _difference(name: str, exact: list[Array], ours: list[Array]) -> OutputDifference:
    largest, squares, count, decisions, changed = 0.0, 0.0, 0, 0, 0
    sides = all(array.shape[-1:] == (1,) and _are_probabilities(array) for array in exact)
    for right, made in zip(exact, ours, strict=True):
        off = _distance(right, made)
        largest, squares, count = max(largest, float(off.max(initial=0))), squares + float((off * off).sum()), \
            count + off.size
        if right.ndim and right.shape[-1] > 1 and right.size:
            before, after = right.argmax(axis=-1), made.argmax(axis=-1)
        elif sides and right.size:
            before, after = right > 0.5, made > 0.5
        else:
            continue
        decisions, changed = decisions + before.size, changed + int((before != after).sum())
    return OutputDifference(name, largest, math.sqrt(squares / count) if count else 0.0, decisions, changed)


def _are_probabilities(array: Array) -> bool:
    return array.dtype.kind == "f" and bool(((array >= 0) & (array <= 1)).all())


def _distance(right: Array, made: Array) -> Array:
    """The distance of each number, in float64; 0 where both are NaN or the same infinity."""
    wide, other = right.astype(np.float64), made.astype(np.float64)
    with np.errstate(invalid="ignore"):
        off = np.abs(wide - other)
    same = (wide == other) | (np.isnan(wide) & np.isnan(other))
    return np.where(same, 0.0, np.where(np.isnan(off), np.inf, off))
