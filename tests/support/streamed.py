"""A model run through a stream in pieces, to be compared with the sequence as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

import lstm_engine as le


def piece(array: np.ndarray, axis: int, begin: int, size: int) -> np.ndarray:
    return array[(slice(None),) * axis + (slice(begin, begin + size),)]


def in_pieces(model: le.Model, inputs: np.ndarray | dict[str, np.ndarray], sizes: Iterable[int], axis: int = 1,
              batch_axis: int = 0) -> dict[str, list[np.ndarray]]:
    """What a new stream answers to pieces of these sizes along the axis of time, by output; the last piece is what is
    left. Arrays without that axis go into every call as they are."""
    named = inputs if isinstance(inputs, dict) else {next(iter(model.inputs)): inputs}
    first = next(iter(named.values()))
    stream, at, answers = model.stream(first.shape[batch_axis]), 0, []
    for size in [*sizes, first.shape[axis]]:
        answer = stream.run({name: piece(array, axis, at, size) for name, array in named.items()})
        answers.append(answer if isinstance(answer, dict) else {next(iter(model.outputs)): answer})
        at += size
    return {name: [answer[name] for answer in answers] for name in answers[0]}


def joined(parts: list[np.ndarray], axis: int = 1) -> np.ndarray:
    whole: np.ndarray = np.concatenate(parts, axis)
    return whole


def cuts(rng: np.random.Generator, steps: int, at_once: int = 1) -> list[list[int]]:
    """Ways to cut so many steps: one by one, all at once, at random with pieces of nothing between."""
    some: list[Any] = list(rng.integers(0, 4, steps) * at_once)
    return [[at_once] * (steps // at_once), [], some]
