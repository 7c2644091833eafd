"""Recurrent weights as PyTorch keeps them, told apart by their sizes and brought to the graph's layout.

One direction of one layer is up to five arrays, by role (torch.nn.LSTM, "Variables"):
    weight_ih [gates*H, I]   weight_hh [gates*H, H]   bias_ih, bias_hh [gates*H]
    weight_hr [P, H] with proj_size; weight_hh is then [gates*H, P]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from ...errors import FormatError
from ...graph.gates import ONNX_RNN, TORCH_GRU, TORCH_LSTM, reorder
from ..reading.weights import Weights

ROLES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
ORDERS = {"LSTM": TORCH_LSTM, "GRU": TORCH_GRU, "RNN": ONNX_RNN}
_OPS = {len(order): op for op, order in ORDERS.items()}


@dataclass(frozen=True)
class Sizes:
    """What one direction's arrays say: the kind of cell, I, H, and the features it gives (H or P)."""

    op: str
    features: int
    hidden: int
    output: int


def sizes_of(weights: Weights, names: Mapping[str, str], where: str) -> Sizes:
    """The sizes of one direction; `names` maps roles to tensors. Raises FormatError, naming `where`, if they differ."""

    def fail(message: str) -> NoReturn:
        found = {role: list(weights.shape(name)) for role, name in names.items()}
        raise FormatError(f"{where}: {message}; found {found}")

    for role in ("weight_ih", "weight_hh"):
        if role not in names:
            fail(f"{role} is missing")
    if ("bias_ih" in names) != ("bias_hh" in names):
        fail(f"{'bias_hh' if 'bias_ih' in names else 'bias_ih'} is missing")
    for role, name in names.items():
        if len(weights.shape(name)) != (1 if role.startswith("bias") else 2) or 0 in weights.shape(name):
            fail(f"{role} must be a {'vector' if role.startswith('bias') else 'matrix'}")
    rows, features = weights.shape(names["weight_ih"])
    rows_back, output = weights.shape(names["weight_hh"])
    hidden = output
    if "weight_hr" in names:
        projected, hidden = weights.shape(names["weight_hr"])
        if projected != output:
            fail("weight_hh [4*H, P] does not fit weight_hr [P, H]")
    op = _OPS.get(rows // hidden)
    if op is None or rows % hidden or rows_back != rows:
        fail("weight_ih and weight_hh must have gates*H rows, with 4 gates (LSTM), 3 (GRU) or 1 (RNN)")
    if "weight_hr" in names and op != "LSTM":
        fail("only an LSTM can have weight_hr (proj_size)")
    for role in ("bias_ih", "bias_hh"):
        if role in names and weights.shape(names[role]) != (rows,):
            fail(f"{role} must be [{rows}]")
    return Sizes(op, features, hidden, output)


def recurrent_arrays(weights: Weights, op: str, directions: Sequence[Mapping[str, str]],
                     where: str) -> dict[str, np.ndarray]:
    """W, R, B and projection of a recurrent node, as the graph has them; B and projection only if there are any.

    directions: roles to tensor names, forward first. Raises FormatError if they are not those of one `op`.
    """
    sizes = [sizes_of(weights, names, where) for names in directions]
    if sizes[0].op != op:
        raise FormatError(f"{where}: the weights are those of {sizes[0].op}, not of {op}")
    if any(other != sizes[0] for other in sizes) or any(set(names) != set(directions[0]) for names in directions):
        raise FormatError(f"{where}: the two directions differ in size or in their arrays")

    dtypes = {weights.dtype(name) for names in directions for name in names.values()}
    if len(dtypes) > 1:
        raise FormatError(f"{where}: its arrays must have one dtype, got {' and '.join(sorted(dtypes))}")

    def ordered(name: str) -> np.ndarray:
        return reorder(weights.take(name), ORDERS[op])

    def gates(role: str) -> np.ndarray:
        return _stack(ordered, [names[role] for names in directions])

    arrays = {"W": gates("weight_ih"), "R": gates("weight_hh")}
    if "bias_ih" in directions[0]:
        arrays["B"] = np.concatenate([gates("bias_ih"), gates("bias_hh")], axis=1)
    if "weight_hr" in directions[0]:
        arrays["projection"] = _stack(weights.take, [names["weight_hr"] for names in directions])
    return arrays


def _stack(load: Callable[[str], np.ndarray], names: Sequence[str]) -> np.ndarray:
    """np.stack of arrays of one shape, each let go before the next is loaded: large weights exist at most twice."""
    first = load(names[0])
    if len(names) == 1:
        return first[None]
    stacked = np.empty((len(names), *first.shape), first.dtype)
    stacked[0] = first
    del first
    for direction, name in enumerate(names[1:], 1):
        stacked[direction] = load(name)
    return stacked
