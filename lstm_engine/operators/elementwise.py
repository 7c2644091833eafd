"""Operators that work element by element: arithmetic, comparisons, logic, functions of one number, casts."""

from __future__ import annotations

import functools
from functools import partial
from typing import Any

import numpy as np

from ..data_types import DATA_TYPES
from ..errors import UnsupportedError
from ..graph.nodes import Operator
from . import counts, symbolic
from .axis_rules import AxisCall
from .kernels import Call, Kernel, repeatable
from .older import Facts, FileNode, instead, older_only, to_input, without
from .places import Place
from .shape_rules import ANY, ShapeCall, Shapes, broadcast
from .spec import REQUIRED, Attribute, declare

# ---- arithmetic -----------------------------------------------------------------------------------------------------

def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Integers divide as in C: the quotient is cut towards zero."""
    if a.dtype.kind == "f":
        quotient: np.ndarray = np.divide(a, b)
        return quotient
    quotient = np.floor_divide(a, b)
    if a.dtype.kind == "u":
        return quotient
    quotient = quotient + ((np.remainder(a, b) != 0) & ((a < 0) != (b < 0)))
    return quotient.astype(a.dtype, copy=False)


def _divide_again(out: np.ndarray, a: np.ndarray, b: np.ndarray) -> list[Call] | None:
    return [(np.divide, (a, b, out))] if a.dtype.kind == "f" else None


def _power(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The result has the dtype of the base; a whole base with a fractional exponent is cut."""
    if a.dtype == b.dtype and a.dtype.kind == "f":
        y: np.ndarray = np.power(a, b)
        return y
    wide = np.result_type(a, b) if "f" in (a.dtype.kind, b.dtype.kind) else np.float64
    y = np.power(a.astype(wide), b.astype(wide))
    return y.astype(a.dtype)


def _pow_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    exponent = node.constants.get(1)
    if exponent is None or exponent.size != 1 or exponent.dtype.kind != "f" or exponent.item() != 2:
        return _power

    def square(x: np.ndarray, two: np.ndarray) -> np.ndarray:
        return np.multiply(x, x) if x.dtype == two.dtype and x.ndim >= two.ndim else _power(x, two)

    def again(out: np.ndarray, x: np.ndarray, two: np.ndarray) -> list[Call] | None:
        return [(np.multiply, (x, x, out))] if x.dtype == two.dtype and x.ndim >= two.ndim else None
    return repeatable(square, again)


def _mod_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    return np.fmod if attributes["fmod"] else np.remainder


def _mean(*xs: np.ndarray) -> np.ndarray:
    total = functools.reduce(np.add, xs)
    return (total / len(xs)).astype(total.dtype)


declare("Add", 2, kernel=np.add, shape=broadcast, elementwise=True, meets=True, symbolic=symbolic.add, takes="numbers")
declare("Sub", 2, kernel=np.subtract, shape=broadcast, elementwise=True, meets=True, symbolic=symbolic.sub,
        takes="numbers")
declare("Mul", 2, kernel=np.multiply, shape=broadcast, elementwise=True, meets=True, symbolic=symbolic.mul,
        takes="numbers", low_bits=True)
declare("Div", 2, kernel=repeatable(_divide, _divide_again), shape=broadcast, elementwise=True, meets=True,
        symbolic=symbolic.div, scratch=2, takes="numbers")
declare("Pow", 2, make=_pow_kernel, shape=broadcast, elementwise=True, work=8, scratch=2,
        takes=("floats|indices", "numbers"), low_bits=True)
declare("Mod", 2, make=_mod_kernel, attributes={"fmod": 0}, shape=broadcast, elementwise=True, meets=True, work=8,
        takes="numbers")
declare("Max", (1, ANY), kernel=lambda *xs: functools.reduce(np.maximum, xs), shape=broadcast,
        elementwise=True, meets=True, exact=True, symbolic=symbolic.greatest, takes="numbers")
declare("Min", (1, ANY), kernel=lambda *xs: functools.reduce(np.minimum, xs), shape=broadcast,
        elementwise=True, meets=True, exact=True, symbolic=symbolic.least, takes="numbers")
declare("Sum", (1, ANY), kernel=lambda *xs: functools.reduce(np.add, xs), shape=broadcast, elementwise=True,
        takes="floats")
declare("Mean", (1, ANY), kernel=_mean, shape=broadcast, elementwise=True, scratch=2, takes="floats")


# ---- comparisons and logic ------------------------------------------------------------------------------------------

def _compare(call: ShapeCall) -> Shapes:
    return [(call.broadcast(call.shape(), call.shape(1)), "bool")]


def _test(call: ShapeCall) -> Shapes:
    return [(call.shape(), "bool")]


def _bit_shift_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    return np.left_shift if attributes["direction"] == "LEFT" else np.right_shift


def _is_inf_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    up, down = bool(attributes["detect_positive"]), bool(attributes["detect_negative"])
    return lambda x: np.isinf(x) & (((x > 0) & up) | ((x < 0) & down))


def _where(call: ShapeCall) -> Shapes:
    return [(call.broadcast(call.shape(), call.shape(1), call.shape(2)), call.dtype(1))]


def _where_again(out: np.ndarray, condition: np.ndarray, a: np.ndarray, b: np.ndarray) -> list[Call] | None:
    return [(np.copyto, (out, b)), (partial(np.copyto, out, a, where=condition), ())] if a.dtype == b.dtype else None


declare("Equal", 2, kernel=np.equal, shape=_compare, elementwise=True, meets=True, exact=True, symbolic=symbolic.equal)
declare("Greater", 2, kernel=np.greater, shape=_compare,
        elementwise=True, meets=True, exact=True, symbolic=symbolic.greater, takes="numbers")
declare("GreaterOrEqual", 2, kernel=np.greater_equal, shape=_compare, elementwise=True, meets=True, exact=True,
        symbolic=lambda a, b: symbolic.negated(symbolic.greater(b, a)), takes="numbers")
declare("Less", 2, kernel=np.less, shape=_compare, elementwise=True, meets=True, exact=True,
        symbolic=lambda a, b: symbolic.greater(b, a), takes="numbers")
declare("LessOrEqual", 2, kernel=np.less_equal, shape=_compare, elementwise=True, meets=True, exact=True,
        symbolic=lambda a, b: symbolic.negated(symbolic.greater(a, b)), takes="numbers")
declare("And", 2, kernel=np.logical_and, shape=broadcast, elementwise=True, exact=True, symbolic=symbolic.both,
        takes="bool")
declare("Or", 2, kernel=np.logical_or, shape=broadcast, elementwise=True, exact=True, symbolic=symbolic.either,
        takes="bool")
declare("Xor", 2, kernel=np.logical_xor, shape=broadcast, elementwise=True, exact=True, takes="bool")
declare("Not", 1, kernel=np.logical_not, elementwise=True, exact=True, symbolic=symbolic.negated, takes="bool")
for _name, _bits in {"BitwiseAnd": np.bitwise_and, "BitwiseOr": np.bitwise_or, "BitwiseXor": np.bitwise_xor}.items():
    declare(_name, 2, kernel=_bits, shape=broadcast, elementwise=True, exact=True, takes="whole")
declare("BitwiseNot", 1, kernel=np.bitwise_not, elementwise=True, exact=True, takes="whole")
declare("BitShift", 2, make=_bit_shift_kernel, attributes={"direction": Attribute(str, REQUIRED, ("LEFT", "RIGHT"))},
        shape=broadcast, elementwise=True, exact=True, takes="whole")
declare("IsNaN", 1, kernel=np.isnan, shape=_test, elementwise=True, exact=True, takes="floats")
declare("IsInf", 1, make=_is_inf_kernel, attributes={"detect_negative": 1, "detect_positive": 1}, shape=_test,
        elementwise=True, exact=True, scratch=2, takes="floats")
declare("Where", 3, kernel=repeatable(lambda condition, a, b: np.where(condition, a, b), _where_again), shape=_where,
        elementwise=True, meets=True, exact=True, moves=(1, 2), takes=("bool", "any"))


# ---- functions of one number ----------------------------------------------------------------------------------------

def _clip(x: np.ndarray, low: np.ndarray | None = None, high: np.ndarray | None = None) -> np.ndarray:
    """ONNX: the upper bound wins where the bounds cross; NaN stays."""
    if low is not None:
        x = np.maximum(x, low.reshape(()))
    if high is not None:
        x = np.minimum(x, high.reshape(()))
    return x


def _clip_again(out: np.ndarray, x: np.ndarray, low: np.ndarray | None = None, high: np.ndarray | None = None
                ) -> list[Call] | None:
    if low is None or high is None or not low.dtype == high.dtype == x.dtype == out.dtype:
        return None
    return [(partial(np.maximum, x, low.reshape(()), out=out), ()),
            (partial(np.minimum, out, high.reshape(()), out=out), ())]


for _name, _ufunc, _types in (("Abs", np.abs, "numbers"), ("Neg", np.negative, "signed"), ("Sign", np.sign, "numbers"),
                              ("Floor", np.floor, "floats"), ("Ceil", np.ceil, "floats"), ("Round", np.rint, "floats")):
    declare(_name, 1, kernel=_ufunc, elementwise=True, exact=True, takes=_types, low_bits=_types != "floats")
for _name, _curve in {"Log": np.log, "Sin": np.sin, "Cos": np.cos, "Tan": np.tan, "Asin": np.arcsin,
                      "Acos": np.arccos, "Atan": np.arctan, "Sinh": np.sinh, "Cosh": np.cosh, "Asinh": np.arcsinh,
                      "Acosh": np.arccosh, "Atanh": np.arctanh}.items():
    declare(_name, 1, kernel=_curve, elementwise=True, work=8, takes="floats")
declare("Sqrt", 1, kernel=np.sqrt, elementwise=True, takes="floats")
declare("Reciprocal", 1, kernel=lambda x: 1 / x, elementwise=True, takes="floats")
def _clip_older(node: FileNode, facts: Facts) -> list[FileNode]:
    return [to_input(to_input(node, facts, "min", 1, False), facts, "max", 2, False)]


declare("Clip", (1, 3), older=_clip_older, kernel=repeatable(_clip, _clip_again),
        elementwise=True, meets=True, scratch=2, takes="numbers")


# ---- the same numbers, in another type or not -----------------------------------------------------------------------

def _cast_shape(call: ShapeCall) -> Shapes:
    return [(call.shape(), call.type_named("to"))]


def _cast_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    dtype = np.dtype(DATA_TYPES[attributes["to"]])
    return repeatable(lambda x: x if x.dtype == dtype else x.astype(dtype),
                      lambda out, x: [(np.copyto, (out, x, "unsafe"))])


def _cast_like_shape(call: ShapeCall) -> Shapes:
    return [(call.shape(), call.dtype(1))]


def _cast_older(node: FileNode, facts: Facts) -> list[FileNode]:
    """`saturate` and `round_mode` speak of 8-bit floats only."""
    return [without(node, "saturate", "round_mode")]


@older_only("Dropout")
def _dropout(node: FileNode, facts: Facts) -> list[FileNode]:
    """What it is when nobody trains; its mask is true everywhere."""
    training = facts.constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else np.False_
    if training is None or np.any(training):
        raise UnsupportedError(f"{node.label}: dropout in training mode is not supported")
    made = [instead(node, "Identity", node.inputs[:1], node.outputs[:1])]
    if any(node.outputs[1:]):
        if node.opset < 12:
            raise UnsupportedError(f"{node.label}: before version 12 it is not said what its mask is")
        shape, true = facts.new_name(f"{node.outputs[1]}/shape"), facts.add_constant(f"{node.outputs[1]}/true",
                                                                                      np.array([True]))
        made += [instead(node, "Shape", node.inputs[:1], (shape,), "shape"),
                 instead(node, "ConstantOfShape", (shape, true), node.outputs[1:], "mask")]
    return made


def _of_first(call: AxisCall) -> Place:
    """Of what `like` holds nothing is read."""
    return call.places[0]


declare("Identity", 1, kernel=lambda x: x, elementwise=True, counts=counts.unchanged, in_order=True, exact=True,
        view="always", moves=(0,))
declare("Cast", 1, make=_cast_kernel, older=_cast_older, shape=_cast_shape,
        attributes={"to": Attribute(int, REQUIRED, says_type=True)},
        elementwise=True, counts=counts.unchanged, exact=True, view="perhaps")
declare("CastLike", 2, kernel=lambda x, like: x.astype(like.dtype), shape=_cast_like_shape, older=_cast_older,
        axes=_of_first, counts=_of_first, exact=True, view="perhaps", apart="XT")
