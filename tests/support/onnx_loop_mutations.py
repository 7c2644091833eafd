"""Loops around a cell, and what can be changed in them: each change is another loop, or the same written otherwise."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import onnx
from onnx_graphs import node
from onnx_loop_bodies import (
    COUNT,
    FEATURES,
    GRU,
    GRU_WEIGHTS,
    LSTM,
    MASK,
    MASKED,
    RESET_BEFORE,
    RESET_WEIGHTS,
    RNN,
    H,
    kept,
    looped,
    normal,
    weights,
)

ALIKE = (("Add", "Sub", "Mul", "Div", "Max", "Min"), ("Less", "LessOrEqual", "Greater", "GreaterOrEqual"),
         ("Sigmoid", "Tanh", "Relu", "Softsign", "Neg", "Identity", "HardSigmoid", "Softmax"))
# Names that mean something in the walk, or to the operators.
NAMES = ("Y", "Y_h", "h", "last", "same", "behind", "loop/Y", "loop/state", "loop/turn", "loop/step", "kernel")
MASKS = {"mask": ("bool", ("time", "batch", 1)), "other": ("bool", ("time", "batch", 1))}


def counted() -> Any:
    """A loop that counts for itself, and ends by comparing."""
    before = [*COUNT, node("Squeeze", "count", "limit"), node("Less", "zero limit", "begins")]
    go = [node("Add", "k k_one", "t1"), node("Less", "t1 limit", "go")]
    return looped(LSTM, read=[node("Gather", "x k", "x_t", axis=0)], go=go, before=before, names="- begins",
                  tensors={"k_one": np.array(1), **weights(4)}, carried="k zero t1", outer={"zero": np.array(0)},
                  outputs="h_last k_last all0")


def masked(op: str, masks: str = "m m m", way: str = "times") -> Any:
    """masks: of each state, and of the output: m, m2 for another, "-" for none, and ! before one that is turned."""
    cell, states, tensors = MASKED[op]
    nodes = [MASK, node("Gather", "other t", "m2"), *cell]
    names = states.split()
    for name, mask in zip([*names, "y"], [*masks.split()[:len(names)], masks.split()[-1]]):
        made, new, old = ("y", "h_new", "nil") if name == "y" else (f"{name}1", f"{name}_new", name)
        new, old = (old, new) if mask.startswith("!") else (new, old)
        if mask == "-":
            nodes.append(node("Identity", new, made))
        elif mask == "m":
            nodes += kept(made, new, old, "where" if name == "y" else way)
        else:
            nodes.append(node("Where", f"{mask.strip('!')} {new} {old}", made))
    return looped(nodes, states, tensors={**tensors, "nil": np.zeros((1, H), np.float32)}, results="y", more=MASKS)


def surrounded() -> Any:
    """A GRU with a layer before it and one behind it, in its body."""
    nodes = [node("MatMul", "x_t M", "xm"), node("Tanh", "xm", "xa"), node("MatMul", "xa K2", "xk"), *GRU[1:],
             node("Gemm", "h1 V a", "v"), node("Softmax", "v", "s", axis=1), node("Mul", "s xa", "y")]
    return looped(nodes, "h", results="y", tensors={**GRU_WEIGHTS, "M": normal(3, H), "K2": normal(H, 3 * H),
                                                    "V": normal(H, H), "a": normal(H)})


def of_gemms() -> Any:
    """As PyTorch has it, with a layer behind."""
    factors = {"alpha": 1.0, "beta": 1.0}
    nodes = [node("Gemm", "x_t K b", "xk", transB=1, **factors), node("Gemm", "h R b2", "hr", transB=1, **factors),
             node("Add", "xk hr", "gates"), *LSTM[4:], node("Gemm", "h1 V a", "y", **factors)]
    return looped(nodes, results="y", tensors={
        "K": normal(4 * H, FEATURES), "R": normal(4 * H, H), "b": normal(4 * H), "b2": normal(4 * H),
        "V": normal(H, H), "a": normal(H)})


def of_a_node(op: str) -> Any:
    """A recurrent node of one step."""
    gates, states = {"LSTM": (4, ["h", "c"]), "GRU": (3, ["h"]), "RNN": (1, ["h"])}[op]
    nodes = [node("Unsqueeze", "x_t zero", "x1"), *(node("Unsqueeze", f"{name} zero", f"{name}_") for name in states),
             node(op, "x1 W R B - " + " ".join(f"{name}_" for name in states),
                  " ".join(["Y_", *(f"{name}_2" for name in states)]), hidden_size=H),
             *(node("Squeeze", f"{name}_2 zero", f"{name}1") for name in states), node("Squeeze", "Y_ zeros", "y")]
    return looped(nodes, " ".join(states), results="y", tensors={
        "W": normal(1, gates * H, FEATURES), "R": normal(1, gates * H, H), "B": normal(1, 2 * gates * H),
        "zero": np.array([0]), "zeros": np.array([0, 1])})


BASES = {
    "LSTM": lambda: looped(LSTM, tensors=weights(4)), "GRU": lambda: looped(GRU, "h", tensors=GRU_WEIGHTS),
    "GRU, reset before": lambda: looped(RESET_BEFORE, "h", tensors=RESET_WEIGHTS),
    "RNN": lambda: looped(RNN, "h", tensors=weights(1)), "a loop that counts": counted,
    "masked LSTM": lambda: masked("LSTM"), "masked GRU": lambda: masked("GRU"),
    "layers around a GRU": surrounded, "products with factors": of_gemms,
    **{f"a node {op}": lambda op=op: of_a_node(op) for op in ("LSTM", "GRU", "RNN")}}


def mutate(source: Any, choose: random.Random) -> None:
    """Change one thing in the loop: what a node reads, what it is, what it makes of that, how a value is called, an
    output, a tensor, an attribute, what the loop is given, and which of its results is which."""
    loop = next(n for n in source.graph.node if n.op_type == "Loop")
    inside = loop.attribute[0].g
    at = choose.randrange(len(inside.node))
    one = inside.node[at]
    there = [*(v.name for v in inside.input), *(t.name for t in inside.initializer), "x",
             *(name for n in inside.node[:at] for name in n.output)]
    what = choose.choice(("read", "read", "read", "operator", "output", "swap", "tensor", "given", "between", "between",
                          "factor", "name", "twice", "result"))
    if what == "read":
        one.input[choose.randrange(len(one.input))] = choose.choice(there)
    elif what == "operator":
        one.op_type = choose.choice(next((ops for ops in ALIKE if one.op_type in ops), (one.op_type,)))
    elif what == "output":
        names = [*(v.name for v in inside.input), *(name for n in inside.node for name in n.output)]
        inside.output[choose.randrange(len(inside.output))].name = choose.choice(names)
    elif what == "swap":
        names = choose.choice((one.input, one.output))
        a, b = choose.randrange(len(names)), choose.randrange(len(names))
        names[a], names[b] = names[b], names[a]
    elif what == "tensor":
        tensor = choose.choice(list(inside.initializer))
        array = onnx.numpy_helper.to_array(tensor)
        other = choose.choice((array + 1, -array, np.zeros_like(array), array[::-1] if array.ndim else array * 2,
                               array[None]))
        tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(other.astype(array.dtype)), tensor.name))
    elif what == "given":
        loop.input[choose.randrange(len(loop.input))] = choose.choice(("count", "on0", "h0", "c0", ""))
    elif what == "between":
        _between(inside, at, choose.choice(there), choose)
    elif what == "factor":
        factors = [a for n in inside.node for a in n.attribute if a.type == onnx.AttributeProto.FLOAT]
        if factors:
            choose.choice(factors).f = choose.choice((0.0, -1.0, 2.0, 0.5, 3e38, 1e-45, float("inf")))
    elif what == "name":
        taken = {*there, *(name for n in source.graph.node for name in n.output),
                 *(name for n in inside.node for name in n.output), *(value.name for value in source.graph.input)}
        _rename(inside, choose.choice([name for n in inside.node for name in n.output if name]),
                choose.choice([name for name in NAMES if name not in taken]))
    elif what == "twice":
        _carry_twice(source, loop, choose)
    else:
        a, b = choose.randrange(len(loop.output)), choose.randrange(len(loop.output))
        loop.output[a], loop.output[b] = loop.output[b], loop.output[a]


def _between(inside: Any, at: int, other: str, choose: random.Random) -> None:
    """Something between a value and who reads it. other: a value that is there."""
    made = inside.node[at].output
    i = choose.randrange(len(made))
    value, raw = made[i], f"{made[i]}_raw{len(inside.node)}"
    if not value:
        return
    constant = np.float32(choose.choice((0, 1, -1, 0.5, 2, 100, 1e30))) * choose.choice((
        np.ones((), np.float32), np.arange(H, dtype=np.float32)))
    op = choose.choice(("Neg", "Tanh", "Relu", "Identity", "Abs", "Add", "Sub", "Mul", "Max", "residual", "Where"))
    if op in ("Neg", "Tanh", "Relu", "Identity", "Abs"):
        new = node(op, raw, value)
    elif op == "residual":
        new = node("Add", f"{raw} {other}", value)
    elif op == "Where":
        new = node("Where", f"{choose.choice(('m', 'm2', 'on'))} {raw} {other}", value)
    else:
        inside.initializer.append(onnx.numpy_helper.from_array(constant, f"{raw}_constant"))
        new = node(op, " ".join(choose.sample((raw, f"{raw}_constant"), 2)), value)
    made[i] = raw
    new.name = raw
    nodes = [*inside.node[:at + 1], new, *inside.node[at + 1:]]
    del inside.node[:]
    inside.node.extend(nodes)


def _rename(inside: Any, name: str, new: str) -> None:
    for n in inside.node:
        for names in (n.input, n.output):
            names[:] = [new if other == name else other for other in names]
    for output in inside.output:
        output.name = new if output.name == name else output.name


def _carry_twice(source: Any, loop: Any, choose: random.Random) -> None:
    """A state under two names, of which some read the one and some the other, and which may begin as others do."""
    inside = loop.attribute[0].g
    count = len(inside.input) - 2
    i = choose.randrange(count)
    old = inside.input[2 + i].name
    again = onnx.ValueInfoProto.FromString(inside.input[2 + i].SerializeToString())
    again.name = f"{old}_again"
    if any(value.name == again.name for value in inside.input):
        return
    for n in inside.node:
        n.input[:] = [again.name if name == old and choose.random() < 0.5 else name for name in n.input]
    inside.input.append(again)
    outputs = list(inside.output)
    outputs.insert(1 + count, outputs[1 + i])
    kept_outputs = [onnx.ValueInfoProto.FromString(output.SerializeToString()) for output in outputs]
    del inside.output[:]
    inside.output.extend(kept_outputs)
    loop.input.append(choose.choice([loop.input[2 + i], *loop.input[2:]]))
    loop.output.insert(count, f"{old}_again_last")
