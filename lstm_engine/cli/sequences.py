"""Sequences as arrays for `predict`: with their lengths, or padded because padding is part of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..padding import pad_sequences
from ..types import Side
from .arguments import UsageError


@dataclass
class Sequences:
    """Arrays by input name, rows first. lengths [batch]: their real steps; labels: names of the rows.

    told: what was read, in words, where more than one reading of the file could be thought of.
    """

    arrays: dict[str, np.ndarray]
    lengths: np.ndarray | None = None
    labels: list[str] | None = None
    told: str = ""


@dataclass(frozen=True)
class Pad:
    """How to pad: to `length` steps (None: the longest sequence's), on which side, cut on which, with what."""

    length: int | None
    side: Side = "left"
    truncate: Side = "left"
    value: float = 0.0


def as_array(sequences: Sequence[Any], dtype: Any, tail: tuple[int, ...], pad: Pad | None) \
        -> tuple[np.ndarray, np.ndarray | None, str]:
    """Sequences in one array [batch, time, *tail], their lengths where they matter, and what padding did, in words.

    Without `pad` the lengths say where each ends; None where all are as long as the array, so that models that cannot
    use lengths still run.
    """
    items = [np.asarray(sequence, dtype).reshape(len(sequence), *tail) for sequence in sequences]
    lengths = np.array([len(item) for item in items], np.int32)
    if pad is None:
        array = pad_sequences(items, side="right", dtype=dtype)
        return array, lengths if len(set(lengths.tolist())) > 1 else None, ""
    if np.dtype(dtype).kind == "i" and not (pad.value.is_integer() and abs(pad.value) < 2**31):
        raise UsageError(f"--pad-value {pad.value:g}: the input is token ids, expected a whole number of 32 bits")
    value = int(pad.value) if np.dtype(dtype).kind == "i" else pad.value
    array = pad_sequences(items, pad.length, side=pad.side, truncate=pad.truncate, value=value, dtype=dtype)
    steps = array.shape[1]
    shorter, longer = int((lengths < steps).sum()), int((lengths > steps).sum())
    told = f"padded to {steps:,} steps with {pad.value:g} on the {pad.side} ({shorter:,} of {len(items):,}"
    return array, None, f"{told} sequences{f'; {longer:,} cut on the {pad.truncate}' if longer else ''})"
