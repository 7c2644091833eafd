"""A smaller graph with the same fault: fewer outputs, values that become inputs, nodes left out, smaller sizes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from .case import Case, Tensor


def shrink(case: Case, fails: Callable[[Case], bool], seconds: float = 60.0) -> Case:
    """The smallest graph found, within so many seconds, for which `fails` still holds."""
    until = time.monotonic() + seconds
    smaller = True
    while smaller and time.monotonic() < until:
        smaller = False
        for candidate in _candidates(case):
            if time.monotonic() > until:
                break
            if _weight(candidate) < _weight(case) and fails(candidate):
                case, smaller = candidate, True
                break
    return case


def _weight(case: Case) -> tuple[int, ...]:
    numbers = sum(array.size for array in case.consts.values())
    return (len(case.nodes), len(case.outputs), len(case.inputs), sum(map(len, (n.input for n in case.nodes))),
            sum(sum(sizes.values()) for sizes in case.sizes), numbers)


def _candidates(case: Case) -> Iterator[Case]:
    for name in case.outputs:
        if len(case.outputs) > 1:
            yield replace(case, outputs=[name]).pruned()
            yield replace(case, outputs=[o for o in case.outputs if o != name]).pruned()
    yield case.pruned()
    made = {name for node in case.nodes for name in node.output if name}
    inner = [name for node in case.nodes[::-1] for name in node.output if name in case.values and name not in
             case.outputs]
    for name in inner:
        yield _as_input(case, case.values[name])
    for name in case.outputs:                               # an earlier value shows it as well
        producer = next((node for node in case.nodes if name in node.output), None)
        for earlier in () if producer is None else producer.input:
            if earlier in made and earlier in case.values:
                yield replace(case, outputs=[earlier if o == name else o for o in case.outputs]).pruned()
    for node in case.nodes:                                 # a node whose input has its output's shape
        out = case.values.get(node.output[0])
        for name in node.input:
            if out is not None and (x := case.values.get(name)) is not None and \
                    (x.dims, x.dtype) == (out.dims, out.dtype):
                yield _without(case, node, name)
    for node in case.nodes:                                 # optional inputs of recurrent nodes
        if node.op_type in ("LSTM", "GRU", "RNN"):
            for position in range(3, len(node.input)):
                if node.input[position]:
                    yield _changed(case, node, [n if i != position else "" for i, n in enumerate(node.input)])
    if len(case.sizes) == 2 and case.sizes[0] != case.sizes[1]:
        yield replace(case, sizes=[case.sizes[0]] * 2)
        yield replace(case, sizes=[case.sizes[1]] * 2)
    for symbol in case.sizes[0]:
        for call, sizes in enumerate(case.sizes):
            if sizes[symbol] > 1:
                yield replace(case, sizes=[{**s, symbol: s[symbol] - 1} if i == call else s
                                           for i, s in enumerate(case.sizes)])


def _as_input(case: Case, t: Tensor) -> Case:
    """The graph that is given `t` instead of making it. Dims that are expressions stand open."""
    given = Tensor(t.name, t.dtype, t.dims, t.role if t.dtype != "int32" else t.role)
    nodes = [_copy(node, outputs=["" if name == t.name else name for name in node.output]) for node in case.nodes]
    nodes = [node for node in nodes if any(node.output)]
    written = dict(case.written)
    for dim in t.dims:
        if isinstance(dim, str) and not dim.isidentifier():
            written[dim] = "nothing"
    return replace(case, nodes=nodes, inputs=[*case.inputs, given], written=written).pruned()


def _without(case: Case, node: object, instead: str) -> Case:
    gone = node.output[0]                                   # type: ignore[attr-defined]
    if gone in case.outputs:
        return case
    return replace(case, nodes=[_copy(other, inputs=[instead if name == gone else name for name in other.input])
                                for other in case.nodes if other is not node]).pruned()


def _changed(case: Case, node: object, inputs: list[str]) -> Case:
    while inputs and not inputs[-1]:
        inputs.pop()
    return replace(case, nodes=[_copy(other, inputs=inputs) if other is node else other
                                for other in case.nodes]).pruned()


def _copy(node: object, inputs: list[str] | None = None, outputs: list[str] | None = None) -> object:
    made = type(node).FromString(node.SerializeToString())  # type: ignore[attr-defined]
    for field, names in (("input", inputs), ("output", outputs)):
        if names is not None:
            del getattr(made, field)[:]
            getattr(made, field).extend(names)
    return made


def text(case: Case) -> str:
    """The graph in ONNX's text form, small constants with their numbers, and the sizes of the calls."""
    from onnx import printer

    numbers = [f"{name} = {np.array2string(a, precision=4, threshold=24)}" for name, a in case.consts.items()]
    return "\n".join([printer.to_text(case.model()), *numbers, f"sizes of the calls: {case.sizes}"])
