"""Whether all engines compute the same: against the float64 oracle where that is quick, else each other.

Quantised models are compared with the float model, never with each other: its oracle, or what the engines make of it in
float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from lstm_engine.graph import Dense, Recurrent

from .cells import STREAM, Case, Cell
from .engines.base import QUANTIZED
from .voices import stepped

Outputs = dict[str, np.ndarray]
Key = tuple[str, str]  # engine, variant

# Engines differ from float64 by 1e-7 to 2e-6 on these networks; a wrong gate, layout or a 16-bit shortcut
# differs by more than 1e-3. 2e-5 (relative above 1) stands well clear of both.
#
# Quantised models are off by what their type rounds, so the limits are the most that was found on the networks with
# random weights (outputs of about 1), and half as much again:
# - int8 0.045: PyTorch's Dense (7 bits of an input, one scale a batch); ONNX Runtime's 0.025, ours 0.026;
# - int8_weights 0.011: ours, a simple RNN;
# - bfloat16 0.011: PyTorch's, an LSTM with relu; OpenVINO's 0.0074, ours 0.0065;
# - float16 0.0014: PyTorch's GRU, which carries its state in it; ours 0.00053.
# Two gates exchanged differ by 0.04 and more over 50 steps: in bfloat16 that is always found, in int8 but for those of
# an LSTM's R.
LIMITS = {
    "float32": 2e-5,
    "float64": 1e-10,
    "int8": 0.068,
    "int8_weights": 0.017,
    "bfloat16": 0.017,
    "float16": 0.0021,
}
# Trained networks, by the same rule, for heads whose weights add up to 130 multiply what came before them: PyTorch 1.6
# in int8 (ONNX Runtime 1.3, ours 0.4), ours 0.28 in int8_weights and 0.13 in bfloat16, PyTorch 0.017 in float16. Only
# what is altogether wrong is found by these; the kernels' arithmetic is held to its definition by the tests.
TRAINED_LIMITS = LIMITS | {"int8": 2.4, "int8_weights": 0.42, "bfloat16": 0.2, "float16": 0.026}
# About a second of the oracle.
ORACLE_FLOPS = 2e9


def difference(ours: Outputs, reference: Outputs) -> float:
    """The largest difference, absolute, relative above 1; inf where names, shapes or NaN disagree."""
    if set(ours) != set(reference):
        return float("inf")
    worst = 0.0
    for name, wanted in reference.items():
        got = ours[name]
        if got.shape != wanted.shape:
            return float("inf")
        if got.size:
            apart = np.abs(got.astype(np.float64) - wanted) / np.maximum(1, np.abs(wanted))
            worst = max(worst, float(apart.max()) if np.isfinite(apart).all() else float("inf"))
    return worst


def _flops(cell: Cell, case: Case) -> float:
    per_row = sum(
        2.0 * array.size
        for node in case.graph.nodes
        if isinstance(node, (Recurrent, Dense))
        for name, array in node.tensors().items()
        if name in ("W", "R", "kernel")
    )
    x = next(iter(case.inputs.values()))
    return per_row * cell.batch * (x.shape[1] if cell.kind == STREAM else cell.steps)


def oracle(cell: Cell) -> Outputs | None:
    """The outputs in float64, or None where that would take long."""
    from lstm_engine import reference

    case = cell.case()
    if case.voice is not None:
        run = partial(reference.run, case.graph)
        return stepped(run, case.graph, case.voice.frame, case.inputs[case.voice.frame], case.voice.carried)
    if _flops(cell, case) > ORACLE_FLOPS:
        return None
    return reference.run(case.graph, case.inputs, case.lengths)


def _middle(outputs: dict[Key, Outputs]) -> Key:
    """The engine whose largest difference from all others is least."""
    return min(outputs, key=lambda key: max(difference(other, outputs[key]) for other in outputs.values()))


def compare(
    cell: Cell,
    dtype: str,
    outputs: dict[Key, Outputs],
    in_float32: Callable[[], dict[Key, Outputs]] | None = None,
) -> tuple[str, dict[Key, float], list[Key]]:
    """What was compared against, the difference of each engine's variant, and those that are too far off.

    in_float32: the engines' outputs in that type, asked for where `dtype` is a quantised one and the oracle takes long.
    """
    exact = oracle(cell)
    if exact is not None:
        against, reference = "float64 oracle", exact
    else:
        floats = outputs
        if dtype in QUANTIZED:
            assert in_float32 is not None
            floats = in_float32()
        middle = _middle(floats)
        against, reference = " ".join(filter(None, middle)), floats[middle]
        against += " in float32" if dtype in QUANTIZED else ""
    apart = {key: difference(own, reference) for key, own in outputs.items()}
    limits = TRAINED_LIMITS if cell.trained else LIMITS
    return against, apart, [key for key, value in apart.items() if value > limits[dtype]]


def medians(values: Iterable[float]) -> float:
    return float(np.median(list(values)))
