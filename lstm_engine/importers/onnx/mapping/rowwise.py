"""Operators that become house nodes, and those that work on each element or each last axis by itself.

The latter do not care in which order the other axes are: they run on the root of a view, so a stack kept
[time, batch, features] needs no Transpose between its layers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ....graph import Activate, Dense, Embedding, Node, Operator, Value
from ....operators import OPERATORS, operator_attributes
from ..simplifying.expressions import NotACell, times_number
from ..simplifying.shortcuts import activation_of
from .mapper import Mapper
from .views import View

_FLOATS = ("float32", "float64")
# Adds a step as a layer of the house; False where it is none.
Rule = Callable[[Mapper, Operator], bool]
_RULES: dict[str, Rule] = {}


def _becomes_layer(op_type: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        _RULES[op_type] = rule
        return rule
    return register


def add(mapper: Mapper, step: Operator) -> bool:
    """Add a step as a house node, or on the root of its input's view; False if it is neither."""
    rule = _RULES.get(step.op_type)
    if rule is not None and rule(mapper, step):
        return True
    return _activate(mapper, step) or _on_root(mapper, step)


def _only(mapper: Mapper, step: Operator) -> View | None:
    """The view of the one input that is not a constant, if there is but one."""
    names = [name for name in step.inputs if name]
    return mapper.views[names[0]] if len(names) == 1 else None


def _put(mapper: Mapper, step: Operator, view: View, make: Callable[[str, str, str], Node],
         last: int | None = None) -> None:
    """Add `make(node name, input, output)` on the root of `view`; the step's output is seen as the input was.

    last: the size of the last axis of the result, where it differs.
    """
    build = mapper.build
    root = build.values[view.root]
    output = build.name(step.outputs[0])
    build.nodes.append(make(build.node_name(step.name), view.root, output))
    shape = root.shape if last is None else (*root.shape[:-1], last)
    build.values[output] = Value(output, shape, mapper.folded.values[step.outputs[0]].dtype)
    mapper.views[step.outputs[0]] = (view.follow(output) if last is None else
                                     view.follow_last(output, len(root.shape), last))
    if view.root in build.sequences:
        build.sequences.add(output)


def _settled(mapper: Mapper, name: str, last: bool = False) -> View:
    """The view of a value if it may be worked on in its root's layout, else a view of an array without axes of 1.

    last: the work is along the last axis, which must then be the root's.
    """
    view = mapper.views[name]
    if view.keeps_last(len(mapper.build.values[view.root].shape)) if last else not view.picks:
        return view
    shape = mapper.shape(name)
    core = [i for i, axis in enumerate(view.axes) if axis]
    ones = [i for i, axis in enumerate(view.axes) if not axis]
    core = sorted(core + ones[:max(0, 2 - len(core))])          # a matrix at least: rows and features
    if not core or (last and core[-1] != len(shape) - 1):
        core = list(range(len(shape)))
    array = mapper.build.array(replace(view, axes=tuple(view.axes[i] for i in core)), tuple(shape[i] for i in core))
    made = View.whole(array, mapper.build.values[array].shape)
    return made.unsqueeze([i for i in range(len(shape)) if i not in core])


def _activate(mapper: Mapper, step: Operator) -> bool:
    activation = activation_of(step)
    if activation is None or mapper.folded.values[step.inputs[0]].dtype not in _FLOATS:
        return False
    row_wise = not OPERATORS[step.op_type].elementwise
    if row_wise and operator_attributes(step)["axis"] not in (-1, len(mapper.shape(step.inputs[0])) - 1):
        return False
    view = _settled(mapper, step.inputs[0], last=row_wise)
    shape = mapper.build.values[view.root].shape
    if shape and isinstance(shape[-1], int) and shape[-1]:
        _put(mapper, step, view, lambda node, x, y: Activate(name=node, inputs=(x,), outputs=(y,),
                                                             activation=activation))
    else:       # features of unknown number, as in convolutions over time, or none: not rows for the C core
        attributes = {**step.attributes, "axis": -1} if row_wise else step.attributes
        _put(mapper, step, view, lambda node, x, y: Operator(name=node, inputs=(x,), outputs=(y,),
                                                             op_type=step.op_type, attributes=attributes))
    return True


def _on_root(mapper: Mapper, step: Operator) -> bool:
    """Element-wise work that the layout does not matter to, on the root itself."""
    view = _only(mapper, step)
    if view is None or view.picks or len(step.outputs) != 1:
        return False
    rank = len(mapper.build.values[view.root].shape)
    constants, attributes = dict(step.constants), step.attributes
    if step.op_type == "LayerNormalization":
        if attributes.get("axis", -1) not in (-1, len(view.axes) - 1) or not view.keeps_last(rank):
            return False
        attributes = {**attributes, "axis": -1}     # the root may have another number of axes
    elif OPERATORS[step.op_type].elementwise:
        for position, array in constants.items():
            if not array.size or array.ndim > len(view.axes) \
                    or array.size not in (1, array.shape[-1] if array.ndim else 1):
                return False
            if array.size > 1 and not (view.keeps_last(rank) and mapper.shape(step.outputs[0])[-1] == array.size
                                       == mapper.build.values[view.root].shape[-1]):
                return False
            constants[position] = array.reshape(-1) if array.size > 1 else array.reshape(())
    else:
        return False
    position = next(i for i, name in enumerate(step.inputs) if name)
    _put(mapper, step, view, lambda node, x, y: Operator(
        name=node, inputs=tuple(x if i == position else "" for i in range(len(step.inputs))), outputs=(y,),
        op_type=step.op_type, attributes=attributes, constants=constants))
    return True


def _dense(mapper: Mapper, step: Operator, kernel: np.ndarray, bias: np.ndarray | None) -> bool:
    if kernel.dtype.name not in _FLOATS or (bias is not None and bias.dtype != kernel.dtype) or not kernel.size:
        return False
    view = _settled(mapper, step.inputs[0], last=True)
    kernel = mapper.derived.get("contiguous", np.ascontiguousarray, kernel)
    _put(mapper, step, view, lambda node, x, y: Dense(name=node, inputs=(x,), outputs=(y,), kernel=kernel, bias=bias),
         kernel.shape[1])
    return True


@_becomes_layer("MatMul")
def _matmul(mapper: Mapper, step: Operator) -> bool:
    kernel = step.constants.get(1)
    if not step.inputs[0] or kernel is None or kernel.ndim != 2:
        return False
    return _dense(mapper, step, kernel, None)


@_becomes_layer("Gemm")
def _gemm(mapper: Mapper, step: Operator) -> bool:
    """alpha * x @ kernel + beta * bias, where kernel and bias are constants and the bias is the same for all rows."""
    kernel, bias = step.constants.get(1), step.constants.get(2)
    given = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0, **step.attributes}
    if not step.inputs[0] or kernel is None or given["transA"] or any(step.inputs[1:]):
        return False
    kernel = kernel.T if given["transB"] else kernel
    if bias is not None and bias.ndim == 2 and bias.shape[0] != 1:
        return False
    if given["beta"] == 0:                              # nothing is added, whatever it is
        bias = None
    try:
        kernel = mapper.derived.get(("times", given["alpha"]), lambda array: times_number(array, given["alpha"]),
                                    kernel)
        if bias is not None:
            units = kernel.shape[1]
            bias = mapper.derived.get(("bias", units, given["beta"]), lambda array: times_number(
                np.broadcast_to(array.reshape(-1), units).astype(array.dtype), given["beta"]), bias)
    except NotACell:                                    # the products as they stand, one after the other
        return False
    return _dense(mapper, step, kernel, bias)


@_becomes_layer("Gather")
def _embedding(mapper: Mapper, step: Operator) -> bool:
    """Rows of a constant table by ids; in the house an id below 0 is an error, not counted from the end."""
    table = step.constants.get(0)
    if table is None or table.ndim != 2 or table.dtype.name not in _FLOATS or not table.size:
        return False
    if step.attributes.get("axis", 0) not in (0, -2) or not step.inputs[1] or len(mapper.shape(step.inputs[1])) != 2:
        return False
    view = mapper.views[step.inputs[1]]
    root = mapper.build.values[view.root]
    if len(root.shape) != 2 or view.picks or len(view.factors) != len([dim for dim in root.shape if dim != 1]):
        array = mapper.array(step.inputs[1])
        root = mapper.build.values[array]
        view = View.whole(array, root.shape)
    build, output = mapper.build, mapper.build.name(step.outputs[0])
    build.nodes.append(Embedding(name=build.node_name(step.name), inputs=(view.root,), outputs=(output,), table=table))
    features = table.shape[1]
    build.values[output] = Value(output, (*root.shape, features), table.dtype.name)
    seen = (len(view.factors),) if features != 1 else ()
    mapper.views[step.outputs[0]] = View(output, view.factors + (((2, features),) if seen else ()), (*view.axes, seen))
    return True
