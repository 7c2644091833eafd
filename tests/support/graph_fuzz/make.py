"""A random graph from a seed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from . import blocks_math as math
from . import blocks_movement as move
from .blocks_recurrent import recurrent
from .builder import Builder
from .case import Case, Dim

OPSETS = (7, 9, 10, 11, 12, 13, 13, 14, 15, 17, 17, 18, 19, 20, 21, 22)
BLOCKS: tuple[tuple[Any, float], ...] = (
    (recurrent, 5), (math.dense, 3), (math.unary, 2), (math.with_constant, 2), (math.between, 3), (math.decide, 1.5),
    (math.product, 1.5), (math.weighted_sum, 1), (math.reduction, 1.5), (math.softmax, 0.7), (math.normalization, 1),
    (math.convolution, 0.7),
    (move.transpose, 2), (move.squeeze, 1.5), (move.reshape, 2), (move.concat, 2), (move.split, 1), (move.piece, 1.5),
    (move.gather, 1.5), (move.lookup, 1), (move.pad, 0.7), (move.expand, 0.7), (move.cast, 0.7), (move.choose, 0.4),
    (move.nothing, 0.3))
STEPWISE = (recurrent, math.dense, math.unary, math.with_constant, math.between, math.decide, math.normalization,
            move.transpose, move.squeeze, move.concat, move.split, move.lookup, move.cast, move.gather)


def make(seed: int) -> Case:
    """The graph of a seed, the same on every machine."""
    rng = np.random.default_rng(seed)
    g = Builder(rng, int(rng.choice(OPSETS)), _sizes(rng), bool(rng.random() < 0.25))
    written = {symbol: str(rng.choice(["name", "name", "name", "number", "nothing"])) for symbol in "BTNS"}
    if g.stepwise:
        written = dict.fromkeys(written, "name")
    elif g.chance(0.2):
        written = dict.fromkeys(written, "number")
    g.sizes = [{symbol: g.sizes[0][symbol] if written[symbol] == "number" else size for symbol, size in sizes.items()}
               for sizes in g.sizes]
    for _ in range(g.whole(1, 3)):
        _input(g, written)
    blocks = [both for both in BLOCKS if not g.stepwise or both[0] in STEPWISE or g.chance(0.05)]
    weights = np.array([weight for _, weight in blocks])
    recurrent(g)
    for _ in range(g.whole(1, 14)):
        blocks[int(rng.choice(len(blocks), p=weights / weights.sum()))][0](g)
    case = Case(seed, g.opset, _in_some_order(g) if g.chance(0.3) else g.nodes, g.inputs, g.consts, _outputs(g),
                g.values, g.sizes, written)
    if g.chance(0.85):
        kept = case.pruned()
        case = kept if g.chance(0.8) else replace(kept, inputs=case.inputs)       # inputs that nothing reads
    return case


def _sizes(rng: np.random.Generator) -> list[dict[str, int]]:
    """What the symbols are in two calls: rows, steps, other rows, other steps. Now and then none, often one."""
    def one(symbol: str) -> int:
        kind = rng.random()
        return 0 if kind < 0.04 else 1 if kind < 0.25 else int(rng.integers(2, 6 if symbol in "BN" else 8))
    return [{symbol: one(symbol) for symbol in "BTNS"} for _ in range(2)]


def _input(g: Builder, written: dict[str, str]) -> None:
    rows, steps = ("B", "T") if g.stepwise else (g.one("BBBN"), g.one("TTTS"))
    if g.chance(0.04) and not g.stepwise:
        rows = steps                                        # one symbol for two axes

    def dim(symbol: str) -> Dim:
        # A number in the shape is a number for the generator as well: it may then become a weight's size.
        return g.sizes[0][symbol] if written[symbol] == "number" and g.sizes[0][symbol] else symbol
    rows, steps = dim(rows), dim(steps)
    kind = g.whole(0, 19)
    features = g.whole(1, 8)
    if kind < 11 or not g.inputs:
        dims = (rows, steps, features) if g.chance(0.5) else (steps, rows, features)
        g.input("float32", dims)
    elif kind < 14:
        g.input("float32", (rows, features))
    elif kind < 17:
        g.input(g.one(["int64", "int32"]), (rows, steps) if g.chance(0.8) else (rows,), f"ids:{g.whole(2, 9)}")
    else:
        dtype = g.one(["float64", "float16"])
        g.input(dtype, (rows, steps, features), g.one(["normal", "normal:1000000"]) if dtype == "float64" else "normal")


def _in_some_order(g: Builder) -> list[Any]:
    """The nodes in another valid order."""
    made = {t.name for t in g.inputs} | set(g.consts) | {""}
    waiting, order = list(g.nodes), []
    while waiting:
        ready = [node for node in waiting if made.issuperset(node.input)]
        node = g.one(ready)
        waiting.remove(node)
        order.append(node)
        made.update(node.output)
    return order


def _outputs(g: Builder) -> list[str]:
    """The values nothing reads, up to four, a value in between now and then, seldom an input or a constant."""
    made = [t for t in g.values.values() if t not in g.inputs
            and t.name in {name for node in g.nodes if node.op_type != "Constant" for name in node.output}]
    if not made:
        return [g.inputs[0].name]
    last = [t.name for t in made if t.name not in g.read][::-1]
    outputs = last[:g.whole(1, 4)] or [made[-1].name]
    if g.chance(0.25):
        outputs.append(g.one(made).name)
    if g.chance(0.05):
        outputs.append(g.one([t for t in g.inputs if t.dtype != "float16"] or [made[-1]]).name)
    if g.chance(0.05) and g.consts:
        outputs.append(g.one(list(g.consts)))
    if g.chance(0.05):
        outputs.append(g.one(outputs))
    elif g.chance(0.8):
        outputs = list(dict.fromkeys(outputs))
    return outputs
