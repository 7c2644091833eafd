"""Errors of activations in units in the last place, and their documented bounds (the table of docs/numerics.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import lstm_engine as le
from lstm_engine import graph as g
from lstm_engine.reference import activate

PAGE = Path(__file__).resolve().parents[2] / "docs" / "numerics.md"
WIDTH = 4096


@dataclass(frozen=True)
class Bound:
    """The largest error of an activation: `ulps` of the exact result, plus `absolute` where terms cancel, plus
    `denormals` (smallest denormal numbers, times |x|) where x multiplies a result that may be denormal."""

    activation: g.Activation
    ulps: float
    absolute: float
    denormals: float


def documented_bounds() -> dict[str, Bound]:
    """The bounds that docs/numerics.md states: rows `| name | alpha, beta | ulp | absolute | denormals |`."""
    bounds = {}
    row = re.compile(r"^\| `(\w+)` \| ([^|]*) \| ([\d.]+) \| ([\d.e-]*) \| ([\d.]*) \|")
    for line in PAGE.read_text(encoding="utf-8").split("\n"):
        if match := row.match(line):
            name, parameters, ulps, absolute, denormals = match.groups()
            values = [float(part) for part in parameters.split(",") if part.strip()]
            activation = g.Activation.of(name, *values)
            bounds[name] = Bound(activation, float(ulps), float(absolute or 0), float(denormals or 0))
    return bounds


def runner(activation: g.Activation, isa: str, dtype: str = "float32"):
    """A function of an array [.., WIDTH] that the C core applies the activation to."""
    graph = g.Graph((g.Value("x", ("batch", WIDTH), dtype),),
                    (g.Activate(name="activation", inputs=("x",), outputs=("y",), activation=activation),), ("y",))
    le.set_isa(isa)
    try:
        model = le.Model(graph, dtype=dtype)
    finally:
        le.set_isa(None)
    return model.predict


def exact(activation: g.Activation, x: np.ndarray) -> np.ndarray:
    """The activation of float32 numbers in float64, with the parameters as float32 holds them."""
    rounded = g.Activation(activation.name, *(None if value is None else float(np.float32(value))
                                              for value in (activation.alpha, activation.beta)))
    return activate(rounded, x)


def ulp(value: np.ndarray) -> np.ndarray:
    """The distance of float32 neighbours at a value: 2^-149 where it is denormal or 0, 2^104 at the top."""
    exponent = np.clip(np.frexp(value)[1], -125, 128)
    return np.ldexp(1.0, exponent - 24)


def errors(got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """|got - wanted|: float32 against float64. Infinity counts as 2^128; NaN agrees with NaN alone."""
    top = 2.0**128
    difference = np.abs(np.clip(got.astype(np.float64), -top, top) - np.clip(wanted, -top, top))
    both = np.isnan(got) & np.isnan(wanted)
    return np.where(both, 0.0, np.where(np.isnan(difference), np.inf, difference))


def excess(bound: Bound, x: np.ndarray, got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Errors as multiples of what the bound allows: at most 1 where it is kept."""
    with np.errstate(over="ignore", invalid="ignore"):
        small = bound.denormals * (1 + np.abs(x.astype(np.float64))) * 2.0**-149 if bound.denormals else 0.0
        allowed = bound.ulps * ulp(wanted) + bound.absolute + small
        found = errors(got, wanted)
        return np.where(found == 0, 0.0, found / np.maximum(allowed, 2.0**-160))


def every(stride: int, first: int = 0) -> np.ndarray:
    """Each `stride`-th float32 by its bits, NaN and infinities left out, in rows of WIDTH (the last one repeated)."""
    x = np.arange(first, 2**32, stride, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = x[np.isfinite(x)]
    return np.concatenate([x, np.repeat(x[-1:], -x.size % WIDTH)]).reshape(-1, WIDTH)
