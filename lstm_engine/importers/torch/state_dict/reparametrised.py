"""Weights that a module computes from other tensors before it runs, where the file settles them.

    name_g, name_v                              torch.nn.utils.weight_norm: v g / |v|
    parametrizations.name.original0, original1  the same, by torch.nn.utils.parametrizations
    name_orig, name_mask                        torch.nn.utils.prune: orig mask
    name_orig, name_u, name_v                   torch.nn.utils.spectral_norm in evaluation: orig / (u^T orig v)
    parametrizations.name.original, 0._u, 0._v  the same, by torch.nn.utils.parametrizations
    weight_hh_l0_raw                            dropped connections (AWD-LSTM, fastai) in evaluation: raw
    encoder.weight, encoder_dp.emb.weight       one table twice (fastai's dropped words)

What stands under other names of these kinds is left as it is, and so belongs to no layer.
Source of the equations: torch/nn/utils (weight_norm.py, spectral_norm.py, parametrizations.py, prune.py), fastai's
text/models/awdlstm.py (WeightDropout).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from ....errors import UnsupportedError
from ...reading.weights import Derived, Entry, Weights

SHOWN = 4
_PARAMETRIZED = "parametrizations."
_WORDS_DROPPED = "encoder_dp.emb.weight"
_RAW = re.compile(r"(?:(?P<path>.*)\.)?(?P<leaf>weight_[ih]h_l[0-9]{1,4}(?:_reverse)?)_raw")

_Made = tuple[str, str, Derived]            # the name of a weight, the kind, and how it is made


def reparametrised(weights: Weights) -> tuple[dict[str, Derived], list[str]]:
    """The weights that other tensors of the file settle, by name, and a sentence for each kind of them."""
    made: dict[str, Derived] = {}
    kinds: dict[str, list[str]] = {}
    groups = _parametrized(weights)
    for name in weights.names:
        for target, kind, derived in _of(weights, name, groups):
            made[target] = derived
            kinds.setdefault(kind, []).append(target)
    return made, [f"{_list(names)} {'is' if len(names) == 1 else 'are'} {kind}" for kind, names in kinds.items()]


def _list(names: Sequence[str]) -> str:
    return f"{', '.join(f'{name!r:.100}' for name in names[:SHOWN])}" \
           f"{f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''}"


def _parametrized(weights: Weights) -> dict[tuple[str, str], set[str]]:
    """What stands under `parametrizations`: (the module's path with its dot, the name) -> what is called how."""
    groups: dict[tuple[str, str], set[str]] = {}
    for name in weights.names:
        before, mark, rest = name.partition(_PARAMETRIZED)
        target, dot, part = rest.partition(".")
        if mark and dot and (not before or before.endswith(".")):
            groups.setdefault((before, target), set()).add(part)
    return groups


def _of(weights: Weights, name: str, groups: dict[tuple[str, str], set[str]]) -> Iterator[_Made]:
    """The weight that is made of the tensor `name` and others, if it is the first of them."""
    before, mark, rest = name.partition(_PARAMETRIZED)
    if mark:
        target, _, part = rest.partition(".")
        inside, stem = groups.get((before, target), set()), f"{before}{_PARAMETRIZED}{target}."
        if before + target in weights:
            return
        if part == "original0" and inside == {"original0", "original1"}:
            yield from _norm(weights, before + target, name, f"{stem}original1")
        elif part == "original" and inside == {"original", "0._u", "0._v"}:
            yield from _spectral(weights, before + target, name, f"{stem}0._u", f"{stem}0._v")
        return
    base, _, ending = name.rpartition("_")
    if ending == "raw":
        yield from _raw(weights, name)
    elif name.endswith(_WORDS_DROPPED):
        yield from _table(weights, name)
    elif not base or base in weights:
        return
    elif ending == "g" and f"{base}_v" in weights:
        yield from _norm(weights, base, name, f"{base}_v")
    elif ending == "orig":
        beside = {end for end in ("mask", "u", "v") if f"{base}_{end}" in weights}
        if beside == {"u", "v"}:
            yield from _spectral(weights, base, name, f"{base}_u", f"{base}_v")
        elif beside == {"mask"} and weights.shape(f"{base}_mask") == weights.shape(name):
            yield base, "pruned: the original times its mask", _derived(weights, np.multiply, name, f"{base}_mask")


def _derived(weights: Weights, compute: Callable[..., np.ndarray], first: str, *others: str) -> Derived:
    """A weight of the shape of `first`, computed in float64 from it and others, in the type that all are kept in.

    first: alone of all parts as large as the weight.
    """
    parts = (first, *others)
    dtype = "float64" if any(weights.dtype(part) == "float64" for part in parts) else "float32"

    def load() -> np.ndarray:
        with np.errstate(all="ignore"):         # 0 / 0 is a NaN there too
            return compute(*(weights.take(part).astype(np.float64) for part in parts)).astype(dtype)

    return Derived(Entry(weights.shape(first), dtype, load), parts)


def _norm(weights: Weights, target: str, length: str, direction: str) -> Iterator[_Made]:
    shape, sizes = weights.shape(direction), weights.shape(length)
    if sizes == ():
        axes: tuple[int, ...] | None = tuple(range(len(shape)))
    elif len(sizes) == len(shape) and sum(size != 1 for size in sizes) <= 1 \
            and all(size in (1, whole) for size, whole in zip(sizes, shape, strict=True)):
        axes = tuple(axis for axis, size in enumerate(sizes) if size == 1)
        if len(axes) == len(shape):              # of an axis of size 1: the first such
            keep = shape.index(1) if 1 in shape else None
            axes = None if keep is None else tuple(axis for axis in axes if axis != keep)
    else:
        axes = None
    if axes is not None:
        yield target, "normalised (weight_norm): v g / |v|", _derived(
            weights, partial(_normalised, axes=axes), direction, length)


def _normalised(direction: np.ndarray, length: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    made: np.ndarray = direction * (length / np.sqrt((direction * direction).sum(axes, keepdims=True)))
    return made


def _spectral(weights: Weights, target: str, original: str, u: str, v: str) -> Iterator[_Made]:
    shape = weights.shape(original)
    fits = [axis for axis, size in enumerate(shape) if weights.shape(u) == (size,)
            and weights.shape(v) == (math.prod(shape) // size if size else 0,)]
    if len(shape) > 1 and fits:
        kind = "divided by its spectral norm as evaluation has it"
        if len(fits) > 1:
            kind += ", rows being its first axis"
        yield target, kind, _derived(weights, partial(_divided, axis=fits[0]), original, u, v)


def _divided(original: np.ndarray, u: np.ndarray, v: np.ndarray, axis: int) -> np.ndarray:
    rows = np.moveaxis(original, axis, 0).reshape(original.shape[axis], -1)
    made: np.ndarray = original / (u @ (rows @ v))
    return made


def _raw(weights: Weights, name: str) -> Iterator[_Made]:
    """fastai keeps it beside the module and a copy with connections dropped inside; AWD-LSTM keeps it inside."""
    match = _RAW.fullmatch(name)
    if not match:
        return
    dotted = f"{match['path']}." if match["path"] else ""
    other = match["leaf"].replace("_hh_", "_ih_") if "_hh_" in match["leaf"] else match["leaf"].replace("_ih_", "_hh_")
    inner = any(f"{dotted}module.{leaf}" in weights for leaf in (other, f"{other}_raw", match["leaf"]))
    target = f"{dotted}{'module.' if inner else ''}{match['leaf']}"
    copy = (target,) if target in weights else ()
    if copy and (not inner or weights.shape(target) != weights.shape(name)):
        return
    kind = "without dropped connections: the raw weights"
    yield target, kind, Derived(Entry(weights.shape(name), weights.dtype(name), lambda: weights.take(name)),
                                (name, *copy))


def _table(weights: Weights, name: str) -> Iterator[_Made]:
    target = f"{name.removesuffix(_WORDS_DROPPED)}encoder.weight"
    if target not in weights or weights.shape(target) != weights.shape(name):
        return

    def load() -> np.ndarray:
        table = weights.take(name)
        if not np.array_equal(table, weights.take(target), equal_nan=True):
            raise UnsupportedError(f"{name!r:.100} and {target!r:.100} are one table in fastai, and differ here; say "
                                   "in a spec which is read (docs/spec.md)")
        return table

    yield target, "one table, which the file holds twice", Derived(
        Entry(weights.shape(name), weights.dtype(name), load), (name, target))
