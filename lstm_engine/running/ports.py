"""What comes to a segment in a run: the sizes of its inputs, lengths and masks, looked at before every call.

Shapes inferred when a graph is loaded are what must hold if the graph fits its inputs. What a run brings may be
otherwise: a Reshape whose target the graph computes, a state with rows of its own, lengths past the end.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import ArgumentError, ArgumentTypeError
from ..plan import Segment


def sizes(segment: Segment, values: Mapping[str, np.ndarray]) -> tuple[int, list[int]]:
    """The rows of a segment, and the steps of each of its time axes, which all of its inputs must agree on.

    Raises ArgumentError naming the value that has another rank, or other features, rows or steps, or none.
    """
    rows: int | None = None
    steps: list[int | None] = [None] * len(segment.axes)
    for port in segment.ports:
        shape = values[port.value].shape
        sequence = port.axis is not None
        known = None if port.axis is None else steps[port.axis]
        expected: list[int | str] = ["rows" if rows is None else rows]
        if sequence:
            expected.append("steps" if known is None else known)
        if not port.ids:
            expected.append(port.features)
        if len(shape) != len(expected) or any(isinstance(size, int) and size != came
                                              for size, came in zip(expected, shape)):
            reader = next((node for node in segment.nodes if port.value in node.inputs), segment.nodes[0])
            beside = "" if port is segment.ports[0] else f" beside {segment.ports[0].value!r}"
            raise ArgumentError(f"node {reader.name!r} ({reader.op}): value {port.value!r} must have shape "
                                f"[{', '.join(map(str, expected))}]{beside}, got {list(shape)}")
        rows = shape[0]
        if port.axis is not None:
            steps[port.axis] = shape[1]
    return rows or 0, [count or 0 for count in steps]


def graph_lengths(name: str, array: np.ndarray, rows: int, steps: int, given: np.ndarray | None) -> np.ndarray:
    """Lengths that the graph itself computes or takes as an input, as int32 [rows].

    given: those that the caller of `predict` gave for the same axis. They say that there are no more steps than that,
    so the graph's cannot reach past them.
    """
    if array.dtype.kind not in "iu":
        raise ArgumentTypeError(f"lengths {name!r}: expected whole numbers, got {array.dtype}")
    if array.shape != (rows,):
        raise ArgumentError(f"lengths {name!r}: expected shape [{rows}], got {list(array.shape)}")
    most = np.minimum(steps, given) if given is not None else np.full(rows, steps)
    wrong = (array < 0) | (array > most)
    if wrong.any():
        row = int(wrong.argmax())
        whose = "steps of its input" if given is None or most[row] == steps else "length that predict was given for it"
        raise ArgumentError(f"lengths {name!r}: row {row} is {array[row]}; expected 0 to {most[row]}, the {whose}")
    return np.ascontiguousarray(array, np.int32)


def graph_mask(name: str, array: np.ndarray, rows: int, steps: int) -> np.ndarray:
    """A mask that the graph computes: bool [rows, steps]."""
    if array.dtype != np.bool_:
        raise ArgumentTypeError(f"mask {name!r}: expected bool, got {array.dtype}")
    if array.shape != (rows, steps):
        raise ArgumentError(f"mask {name!r}: expected shape {[rows, steps]}, got {list(array.shape)}")
    return array


def whole_numbers(array: np.ndarray, name: str) -> np.ndarray:
    """Token ids as C-contiguous int32; ArgumentError for one that does not fit."""
    if array.dtype == np.int32:
        return np.ascontiguousarray(array)
    if array.dtype.kind not in "iu":
        raise ArgumentTypeError(f"{name}: expected token ids, whole numbers, got {array.dtype}")
    if array.dtype.itemsize >= 4 and array.size and (array.max() > 2**31 - 1 or array.min() < -2**31):
        raise ArgumentError(f"{name}: a token id does not fit 32 bits")
    return np.ascontiguousarray(array, np.int32)
