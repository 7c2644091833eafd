"""Inputs made up for a model: numbers of several kinds, ids that its tables have, lengths and masks that fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ..graph import Embedding, Graph, Loop, Operator, Recurrent, Value
from ..operators import OPERATORS, infer_shapes

_LENGTHS = 1                # the place of the lengths among the inputs of a recurrent node
_FIRST_WITH_CONSTANTS = 3.0         # constants nearer to zero are met by ordinary numbers
_LAST_WITH_CONSTANTS = 1e12         # beyond are stand-ins for infinity
_MOST_CONSTANTS = 6
_ANY_WHOLE = 10             # of whole numbers that go into no table, where nothing else is known


@dataclass(frozen=True)
class Family:
    """One kind of input. Floats are centre + spread * normal ("sign": their absolute values with that sign).

    centre: a number, or one per feature. ids: "any", "first", "last", or "padded" (0 behind a part of each row).
    """

    name: str
    centre: float | np.ndarray = 0.0
    spread: float = 1.0
    sign: int = 0
    ids: str = "any"


ORDINARY = Family("ordinary numbers")
OTHERS = (Family("large numbers (deviation 100)", spread=100.0), Family("an offset of 50", centre=50.0),
          Family("negative numbers", sign=-1, ids="padded"), Family("positive numbers", sign=1, ids="last"),
          Family("zeros", spread=0.0, ids="first"))
IDS = (Family("padded ids", ids="padded"), Family("last ids", ids="last"), Family("zeros", spread=0.0, ids="first"))


def families(graph: Graph) -> list[Family]:
    """The kinds of inputs to try on a model besides ordinary ones: all that its inputs can tell apart."""
    if not any(value.dtype.startswith("float") for value in graph.inputs):
        return list(IDS)
    return [*OTHERS, *(Family(f"numbers near the graph's {_named(constant)}", centre=constant)
                       for constant in constants(graph))]


def _named(constant: float | np.ndarray) -> str:
    if np.ndim(constant) == 0:
        return f"{constant:g}"
    return f"{np.size(constant)} constants up to {np.abs(constant).max():g}"


def constants(graph: Graph) -> list[float | np.ndarray]:
    """What a graph adds, subtracts, compares with or clips at, where ordinary numbers do not come near: single numbers,
    and one per feature of some input. The largest and others between, at most six."""
    features = {value.shape[-1] for value in graph.inputs if value.shape and isinstance(value.shape[-1], int)}
    found: dict[bytes, float | np.ndarray] = {}
    for array in _arrays(graph):
        array = np.abs(array) if array.dtype.kind == "u" else array
        if array.dtype.kind not in "fiu" or not array.size or not np.isfinite(array).all():
            continue
        if not _FIRST_WITH_CONSTANTS <= float(np.abs(array).max()) <= _LAST_WITH_CONSTANTS:
            continue
        wide = array.astype(np.float64)
        if array.size == 1:
            found[wide.tobytes()] = float(wide.ravel()[0])
        elif array.shape[-1] in features and array.size == array.shape[-1]:
            found[wide.tobytes()] = wide.ravel()
    sorted_ones = sorted(found.values(), key=lambda constant: float(np.abs(constant).max()))
    if len(sorted_ones) <= _MOST_CONSTANTS:
        return sorted_ones
    places = np.linspace(0, len(sorted_ones) - 1, _MOST_CONSTANTS).round().astype(int)
    return [sorted_ones[place] for place in places]


def _arrays(graph: Graph) -> Iterator[np.ndarray]:
    """What a floating-point input, or what is made of one, meets."""
    reached = {value.name for value in graph.inputs if value.dtype.startswith("float")}
    for node in graph.nodes:
        if reached.isdisjoint(node.inputs):
            continue
        reached.update(filter(None, node.outputs))
        if isinstance(node, Operator) and OPERATORS[node.op_type].meets:
            for array in node.constants.values():
                yield array
                if node.op_type == "Sub":
                    continue
                if node.op_type == "Add" and array.dtype.kind in "fi":
                    yield -array                       # x + (-mean)
        elif isinstance(node, Recurrent) and node.clip is not None:
            yield np.array(node.clip)


def random_inputs(graph: Graph, batch: int, steps: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """An array of ordinary numbers, ids or lengths for every input of `graph`, by name.

    Every symbol beside the batch counts steps; sizes that the model fixes stay.
    """
    from .sizes import Roles

    return inputs(graph, Roles.of(graph).bound(batch, steps, "alike"), ORDINARY, rng)


def inputs(graph: Graph, sizes: Mapping[str, int], family: Family, rng: np.random.Generator,
           fixed: Mapping[str, list[int | None]] | None = None) -> dict[str, np.ndarray]:
    """An array for every input of `graph`, by name. sizes: what each symbol stands for; fixed: shapes by input name,
    whose numbers go before the graph's own symbols."""
    values = infer_shapes(graph)
    made = {}
    for value in graph.inputs:
        shape = [sizes[dim] if isinstance(dim, str) else dim for dim in values[value.name].shape]
        known = (fixed or {}).get(value.name)
        if known is not None and len(known) == len(shape):
            shape = [size if size is not None else own for size, own in zip(known, shape, strict=True)]
        made[value.name] = _array(graph, value, tuple(shape), _most_steps(graph, value.name, values, sizes), sizes,
                                  family, rng)
    return made


def _array(graph: Graph, value: Value, shape: tuple[int, ...], steps: int | None, sizes: Mapping[str, int],
           family: Family, rng: np.random.Generator) -> np.ndarray:
    if value.reading is not None:
        return value.reading.drawn(shape, rng)
    if value.dtype.startswith("float"):
        return _floats(shape, family, rng).astype(value.dtype)
    if value.dtype == "bool":
        return _mask(shape, family, rng)
    if steps is not None:
        return _lengths(shape, steps, family, rng).astype(value.dtype)
    if _counts_turns(graph, value.name):
        return np.full(shape, rng.integers(1, max(2, *sizes.values()) + 1)).astype(value.dtype)
    count, most = _vocabulary(graph, value), np.iinfo(value.dtype).max + 1
    if count is not None:
        return _ids(shape, min(max(count, 1), most), family, rng).astype(value.dtype)
    # It may be an index: of a step or a row where there is one axis.
    count = 256 if value.dtype == "uint8" else _ANY_WHOLE if len(shape) > 1 else min((_ANY_WHOLE, *sizes.values()))
    usual = np.arange(min(max(count, 1), most)).astype(value.dtype)
    numbers = np.concatenate([usual, np.setdiff1d(_met(graph, value), usual)])
    return np.asarray(numbers[_ids(shape, len(numbers), family, rng)])


def _floats(shape: tuple[int, ...], family: Family, rng: np.random.Generator) -> np.ndarray:
    noise = family.spread * rng.standard_normal(shape)
    if family.sign:
        noise = family.sign * np.abs(noise)
    centre = family.centre
    if np.ndim(centre) and (not shape or shape[-1] != np.size(centre)):
        centre = 0.0                                    # it belongs to another input
    return np.asarray(noise + centre)


def _mask(shape: tuple[int, ...], family: Family, rng: np.random.Generator) -> np.ndarray:
    """All steps; or those before an end of each row; or any four of five."""
    if family.ids == "first":
        return np.ones(shape, bool)
    if len(shape) >= 2 and (family.ids == "padded" or rng.random() < 0.5):
        ends = rng.integers(1, shape[1] + 1, shape[:1]) if shape[1] else np.zeros(shape[:1], int)
        kept = np.arange(shape[1]) < ends[:, None]
        return np.array(np.broadcast_to(kept.reshape(*kept.shape, *(1,) * (len(shape) - 2)), shape))
    return rng.random(shape) < 0.8


def _lengths(shape: tuple[int, ...], steps: int, family: Family, rng: np.random.Generator) -> np.ndarray:
    """From 1 to all steps, the longest among them; all of them with zeros as inputs."""
    lengths = np.full(shape, steps) if family.ids == "first" else rng.integers(1, max(steps, 1) + 1, shape)
    if lengths.size:
        lengths.ravel()[rng.integers(lengths.size)] = steps
    return lengths


def _ids(shape: tuple[int, ...], count: int, family: Family, rng: np.random.Generator) -> np.ndarray:
    """Ids below `count`, the first and the last among them where there is room."""
    if family.ids == "first":
        return np.zeros(shape, np.int64)
    if family.ids == "last":
        return np.full(shape, count - 1)
    ids = rng.integers(0, count, shape)
    if ids.size > 1:
        first, last = rng.choice(ids.size, 2, replace=False)
        ids.ravel()[[first, last]] = 0, count - 1
    if family.ids == "padded" and len(shape) >= 2 and shape[1]:
        ends = rng.integers(1, shape[1] + 1, shape[0])
        ids[np.arange(shape[1]) >= ends[:, None]] = 0
    return ids


def _most_steps(graph: Graph, name: str, values: Mapping[str, Value], sizes: Mapping[str, int]) -> int | None:
    """The steps that lengths given as this input may count; None for an input of no lengths."""
    if len(values[name].shape) != 1:
        return None
    reached = {name}
    for node in graph.nodes:
        if isinstance(node, Recurrent) and not reached.isdisjoint(node.inputs[_LENGTHS:_LENGTHS + 1]):
            steps = values[node.inputs[0]].shape[1]
            return steps if isinstance(steps, int) else sizes.get(steps, max(sizes.values(), default=1))
        if isinstance(node, Operator) and not reached.isdisjoint(node.inputs):
            reached.update(node.outputs)
    return None


def _counts_turns(graph: Graph, name: str) -> bool:
    """Whether an input says how many turns a loop has at most: with none there is nothing to compare."""
    reached = {name}
    for node in graph.nodes:
        if isinstance(node, Loop) and node.inputs[0] in reached:
            return True
        if isinstance(node, Operator) and not reached.isdisjoint(node.inputs):
            reached.update(node.outputs)
    return False


def _met(graph: Graph, value: Value) -> np.ndarray:
    """The whole numbers that tell one input from another: what the graph compares it with, and their neighbours."""
    reached, found = {value.name}, set[int]()
    limits = np.iinfo(value.dtype)
    for node in graph.nodes:
        if not isinstance(node, Operator) or reached.isdisjoint(node.inputs):
            continue
        spec = OPERATORS[node.op_type]
        if spec.meets and spec.exact:
            few = [array for array in node.constants.values() if array.dtype.kind in "iu" and array.size <= 8]
            found.update(int(number) for array in few for number in array.ravel())
        if spec.elementwise or spec.view:
            reached.update(node.outputs)
    near = {number + step for number in found for step in (-1, 0, 1)}
    return np.array(sorted(number for number in near if limits.min <= number <= limits.max), value.dtype)


def _vocabulary(graph: Graph, value: Value) -> int | None:
    """The ids that may be drawn for an input: below the size of each table that it, or what is made of it, reads; None
    where there is none."""
    reached, sizes = {value.name}, []
    for node in graph.nodes:
        if reached.isdisjoint(node.inputs):
            continue
        if isinstance(node, Embedding):
            sizes.append(len(node.table))
        elif isinstance(node, Operator) and node.op_type == "Gather" and 0 in node.constants:
            sizes.append(node.constants[0].shape[node.attributes.get("axis", 0)])
        elif isinstance(node, Operator) and node.op_type == "OneHot" and 1 in node.constants:
            sizes.append(int(node.constants[1].ravel()[0]))
        elif isinstance(node, (Operator, Loop)):
            reached.update(node.outputs)
        if isinstance(node, Loop):
            inside = [value for value, name in zip(node.body.inputs, node.inputs) if name in reached]
            sizes += [size for given in inside if (size := _vocabulary(node.body, given)) is not None]
    return min(sizes, default=None)
