"""What an operator's kernel is, how it is repeated, and what kernels share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..graph.nodes import Operator

# Called once a node, with its attributes, defaults filled in, and the node itself.
# Returns the function of the inputs that is called every run; it gives one array, or a sequence of them where the
# operator can have several outputs. Results may be views of inputs; nobody writes into a value.
Kernel = Callable[..., Any]
KernelMaker = Callable[[dict[str, Any], Operator], Kernel]

# One step of a repetition: a function and its arguments.
Call = tuple[Callable[..., Any], tuple[Any, ...]]
# How a kernel is repeated on arrays that stay where they are while what is in them changes: a function of an array for
# the result, laid out as the kernel lays out its own, and the inputs; it gives the calls that put the result there, or
# None where only the kernel itself can. Element by element they do the same arithmetic: results have the same bits.
Repetition = Callable[..., "list[Call] | None"]

# What NumPy raises for arrays that do not fit.
MISFITS = (ValueError, IndexError, TypeError, OverflowError, ZeroDivisionError, AttributeError)


def shown_inputs(arrays: Sequence[np.ndarray | None]) -> str:
    """The inputs of a node in a message."""
    return ", ".join("none" if x is None else f"{x.dtype}{list(x.shape)}" for x in arrays)


# Entries of what one kernel keeps of shapes that it has seen: sizes may come without end.
MOST_KEPT = 16


class Kept(dict[Any, Any]):
    """What a kernel makes of sizes alone, kept for the last few: every cache of a kernel is one of these."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        super().__init__()
        self.make = make

    def __missing__(self, key: Any) -> Any:
        made = self.make(key)
        if len(self) >= MOST_KEPT:
            self.clear()
        self[key] = made
        return made


def repeatable(kernel: Kernel, repetition: Repetition) -> Kernel:
    """`kernel`, with what a recording of a run asks of it."""
    kernel.repetition = repetition          # type: ignore[attr-defined]
    return kernel


def ints(array: np.ndarray | Sequence[int]) -> tuple[int, ...]:
    """The integers in an input such as axes, as a tuple."""
    return tuple(int(v) for v in np.ravel(array))


def scalar(array: np.ndarray) -> Any:
    """The one element of an input such as `depth` or `k`."""
    return array.item() if array.size == 1 else array.reshape(-1)[0].item()


def of_shape(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """What is made of `x` and of inputs that are broadcast to it. Raises ValueError where they are larger."""
    if y.shape != x.shape:
        raise ValueError(f"inputs that are broadcast to {list(x.shape)} make it {list(y.shape)}")
    return y


def as_int32(x: np.ndarray) -> np.ndarray:
    """Whole numbers in float64 as int32, those beyond it as an int32 that overflows has them."""
    return x.astype(np.int64).astype(np.int32)


def fixed(node: Operator, *positions: int) -> bool:
    """Whether each of these inputs is a constant or left out."""
    return all(i in node.constants or i >= len(node.inputs) or not node.inputs[i] for i in positions)
