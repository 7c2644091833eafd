"""Pad and Slice, from the text of ONNX's standard."""

from __future__ import annotations

from typing import Any

import numpy as np


def pad(attributes: dict[str, Any], x: np.ndarray, pads: np.ndarray, value: np.ndarray | None = None,
        axes: np.ndarray | None = None) -> np.ndarray:
    """Negative pads cut. Each new place is looked up in the axis it came from, one axis after the other."""
    mode = attributes["mode"]
    chosen = range(x.ndim) if axes is None else [int(axis) % x.ndim for axis in axes]
    fill = np.zeros((), x.dtype) if value is None else value.reshape(()).astype(x.dtype)
    for number, axis in enumerate(chosen):
        size = x.shape[axis]
        places = np.arange(-int(pads[number]), size + int(pads[number + len(chosen)]))
        inside = (places >= 0) & (places < size)
        if mode == "edge":
            source = places.clip(0, size - 1)
        elif mode == "wrap":
            source = places % size
        elif mode == "reflect":
            period = max(2 * (size - 1), 1)
            source = np.abs((places + size - 1) % period - (size - 1)) if size > 1 else places * 0
        else:
            source = np.where(inside, places, 0)
            if not size:
                x, source = np.concatenate([x, np.full_like(x, fill, shape=(*x.shape[:axis], 1, *x.shape[axis + 1:]))],
                                           axis), places * 0
        x = np.take(x, source, axis)
        if mode == "constant":
            shape = [1] * x.ndim
            shape[axis] = -1
            x = np.where(inside.reshape(shape), x, fill)
    return x


def cut(attributes: dict[str, Any], x: np.ndarray, starts: np.ndarray, ends: np.ndarray,
        axes: np.ndarray | None = None, steps: np.ndarray | None = None) -> np.ndarray:
    """Slice: bounds are clamped to the axis, for a negative step to the place before its first."""
    for number, (start, end) in enumerate(zip(starts.tolist(), ends.tolist())):
        axis = number if axes is None else int(axes[number]) % x.ndim
        step = 1 if steps is None else int(steps[number])
        size = x.shape[axis]
        start, end = (bound + size if bound < 0 else bound for bound in (start, end))
        low, high = (0, size) if step > 0 else (-1, size - 1)
        start = min(max(start, 0), high)
        x = np.take(x, np.arange(start, min(max(end, low), high), step), axis)
    return x


def chosen(attributes: dict[str, Any], condition: np.ndarray, then: np.ndarray | None,
           otherwise: np.ndarray | None = None) -> np.ndarray:
    """What If gives, of the values of its branches. One that is not there is of another rank, and refused."""
    value = then if condition.item() else otherwise
    if value is None:
        raise ValueError(f"the condition is {condition.item()}, and the value for that was left out")
    return value
