"""What an engine is to the harness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..cells import Case, Cell
from ..voices import stepped, zero_states

Outputs = dict[str, np.ndarray]
# Whose weights have fewer bytes than float32; what is handed in and comes out is float32.
QUANTIZED = ("int8", "int8_weights", "bfloat16", "float16")


def array_dtype(dtype: str) -> str:
    """The type of the arrays that a cell is run with at `--dtype`."""
    return "float32" if dtype in QUANTIZED else dtype



class NotSupported(Exception):
    """The engine cannot run the cell; the message says why in a few words."""


class EngineFailed(Exception):
    """The engine raised something on a cell; the message has its words."""


@dataclass
class Variant:
    """One way of running a cell. `call` is what is timed; `outputs` gives what it computes, in house order.

    A cell of unequal lengths has several ways (packed, bucketed, padded), and PyTorch two for each type of 16 bits; all
    others have one, called "".
    """

    name: str
    call: Callable[[], Any]
    outputs: Callable[[], Outputs]


def voice_variant(case: Case, call: Callable[[Outputs], Outputs]) -> Variant:
    """One step a call; the states that come out go in again. call: inputs by name to outputs by name."""
    voice = case.voice
    assert voice is not None
    frames, pairs = case.inputs[voice.frame], list(voice.carried.items())
    current = {voice.frame: frames[0], **zero_states(case.graph, voice.carried)}

    def step() -> None:
        made = call(current)
        for name, out in pairs:
            current[name] = made[out]

    return Variant("", step, lambda: stepped(call, case.graph, voice.frame, frames, voice.carried))


class Engine(Protocol):
    """name, version, and the making of variants. One object serves all cells of a process."""

    name: str
    version: str

    def build(self, cell: Cell, case: Case, threads: int, dtype: str) -> list[Variant]:
        """Ready-to-time variants of a cell. Raises NotSupported."""

    def use_threads(self, threads: int) -> None:
        """Called before a variant built for `threads` runs, for engines that keep this per process."""

    def store(self, case: Case, path: str) -> str:
        """Write a single recurrent layer as this engine's users would; the path of the file."""

    def load(self, path: str, threads: int) -> Loaded:
        """The stored model, ready to run."""


class Loaded(Protocol):
    def __call__(self, case: Case) -> Outputs:
        """The outputs of a model that was loaded from a file, in house order."""


def time_first(x: np.ndarray) -> np.ndarray:
    """[batch, time, F], or ids [batch, time], with the first two axes swapped; a vector as it is."""
    sequence = x.ndim == (3 if x.dtype.kind == "f" else 2)
    return np.ascontiguousarray(x.swapaxes(0, 1) if sequence else x)


def batches_by_length(lengths: np.ndarray, size: int = 8) -> list[np.ndarray]:
    """Rows sorted by length and cut into batches of `size`: what a user does who has no other way."""
    order = np.argsort(lengths, kind="stable")
    return [order[start : start + size] for start in range(0, len(order), size)]


def real_steps(outputs: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """[batch, time, F] with zeros past each row's length, so that padding is not compared."""
    kept = np.arange(outputs.shape[1]) < lengths[:, None]
    return np.where(kept[..., None], outputs, np.float32(0))


def unbatched(parts: list[np.ndarray], rows: list[np.ndarray], batch: int, steps: int) -> np.ndarray:
    """One padded array from the outputs [rows, time, F] of `batches_by_length`."""
    whole = np.zeros((batch, steps, parts[0].shape[-1]), parts[0].dtype)
    for part, own in zip(parts, rows):
        whole[own, : part.shape[1]] = part
    return whole
