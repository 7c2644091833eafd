"""Functions of several tensors, and those that ONNX has no operator for: interpolations, distances, differences."""

from __future__ import annotations

import math
from functools import partial

from .arguments import Arguments
from .elementwise import as_float, operand
from .emit import Emitter, Tensor
from .promotion import Operand, promoted
from .reductions import loss, reduced, vector_norm
from .registry import aten

new = partial(aten, fresh=True)


def _in_floats(e: Emitter, a: Arguments, *operands: Operand) -> list[Tensor]:
    """Operands as tensors of one floating-point dtype. Raises UnsupportedError for others."""
    made = promoted(e, *operands)
    return made if made[0].is_float else a.refuse(f"of {made[0].dtype} is not supported")


@new("addcmul.default addcdiv.default")
def _add_combined(e: Emitter, a: Arguments) -> Tensor:
    """self + value t1 t2, or self + value t1 / t2."""
    x, first, second = _in_floats(e, a, a.tensor("self"), a.tensor("tensor1"), a.tensor("tensor2"))
    value = a.number("value", 1)
    first = first if value == 1 else e.op("Mul", first, e.constant(value, x.dtype))
    return e.op("Add", x, e.op("Mul" if a.op.startswith("addcmul") else "Div", first, second))


@new("lerp.Scalar lerp.Tensor")
def _lerp(e: Emitter, a: Arguments) -> Tensor:
    """From the nearer end, as torch has it: start + w (end - start), from w = 1/2 on end - (1 - w)(end - start)."""
    x, end, weight = _in_floats(e, a, a.tensor("self"), a.tensor("end"), operand(a, "weight"))
    way = e.op("Sub", end, x)
    near = e.op("Add", x, e.op("Mul", weight, way))
    far = e.op("Sub", end, e.op("Mul", way, e.op("Sub", e.constant(1, x.dtype), weight)))
    return e.op("Where", e.op("Less", e.op("Abs", weight), e.constant(0.5, x.dtype)), near, far)


@new("cosine_similarity.default")
def _cosine_similarity(e: Emitter, a: Arguments) -> Tensor:
    """The sum of (x / max(|x|, eps)) (y / max(|y|, eps)) along an axis of what both are broadcast to."""
    x, y = _in_floats(e, a, a.tensor("x1"), a.tensor("x2"))
    axis, eps = a.axis("dim", max(x.rank, y.rank), 1), e.constant(a.number("eps", 1e-8), x.dtype)
    if x.rank != y.rank:
        a.refuse("tensors of different numbers of axes are not supported")
    parts = [e.op("Div", part, e.op("Max", reduced(e, "ReduceL2", part, [axis], True), eps)) for part in (x, y)]
    return reduced(e, "ReduceSum", e.op("Mul", *parts), [axis], False)


@new("pairwise_distance.default")
def _pairwise_distance(e: Emitter, a: Arguments) -> Tensor:
    x, y = _in_floats(e, a, a.tensor("x1"), a.tensor("x2"))
    apart = e.op("Add", e.op("Sub", x, y), e.constant(a.number("eps", 1e-6), x.dtype))
    if not apart.rank:
        a.refuse("without axes is not supported")
    return vector_norm(e, a, apart, a.number("p", 2), [apart.rank - 1], a.flag("keepdim", False))


@new("cdist.default")
def _cdist(e: Emitter, a: Arguments) -> Tensor:
    """[..., rows of x1, rows of x2]: the norm of every difference."""
    x, y = _in_floats(e, a, a.tensor("x1"), a.tensor("x2"))
    a.ignore("compute_mode")
    if x.rank < 2 or y.rank < 2:
        a.wrong("needs two axes or more")
    apart = e.op("Sub", e.unsqueeze(x, x.rank - 1), e.unsqueeze(y, y.rank - 2))
    return vector_norm(e, a, apart, a.number("p", 2), [apart.rank - 1], False)


@new("dist.default")
def _dist(e: Emitter, a: Arguments) -> Tensor:
    x, y = _in_floats(e, a, a.tensor("self"), a.tensor("other"))
    apart = e.op("Sub", x, y)
    return vector_norm(e, a, apart, a.number("p", 2), list(range(apart.rank)), False)


def _apart(e: Emitter, a: Arguments) -> Tensor:
    return e.op("Sub", *_in_floats(e, a, a.tensor("self"), a.tensor("target")))


@new("mse_loss.default")
def _mse_loss(e: Emitter, a: Arguments) -> Tensor:
    apart = _apart(e, a)
    return loss(e, a, e.op("Mul", apart, apart))


@new("l1_loss.default")
def _l1_loss(e: Emitter, a: Arguments) -> Tensor:
    return loss(e, a, e.op("Abs", _apart(e, a)))


@new("smooth_l1_loss.default huber_loss.default")
def _huber_loss(e: Emitter, a: Arguments) -> Tensor:
    """d^2 / 2 within delta, delta (|d| - delta / 2) beyond; smooth_l1 is that divided by its beta."""
    smooth = a.op.startswith("smooth")
    delta = a.number("beta" if smooth else "delta", 1)
    if delta <= 0:
        a.refuse(f"with {'beta' if smooth else 'delta'} {delta} is not supported")
    apart = e.op("Abs", _apart(e, a))
    limit, half = e.constant(delta, apart.dtype), e.constant(0.5, apart.dtype)
    near = e.op("Mul", half, e.op("Mul", apart, apart))
    far = e.op("Mul", limit, e.op("Sub", apart, e.op("Mul", half, limit)))
    each = e.op("Where", e.op("Less", apart, limit), near, far)
    return loss(e, a, e.op("Div", each, limit) if smooth else each)


@new("logaddexp.default")
def _logaddexp(e: Emitter, a: Arguments) -> Tensor:
    """The greater one + log(1 + exp(-|x - y|)); equal ones, infinite ones among them, are x + log 2."""
    x, y = _in_floats(e, a, a.tensor("self"), a.tensor("other"))
    same = e.op("Equal", x, y)
    apart = e.op("Where", same, e.constant(0, x.dtype), e.op("Abs", e.op("Sub", x, y)))
    return e.op("Add", e.op("Max", x, y), e.op("Softplus", e.op("Neg", apart)))


@new("exp2.default")
def _exp2(e: Emitter, a: Arguments) -> Tensor:
    x = as_float(e, a.tensor("self"))
    return e.op("Pow", e.constant(2, x.dtype), x)


@new("frac.default")
def _frac(e: Emitter, a: Arguments) -> Tensor:
    x, = _in_floats(e, a, a.tensor("self"))
    return e.op("Mod", x, e.constant(1, x.dtype), fmod=1)


@new("logit.default")
def _logit(e: Emitter, a: Arguments) -> Tensor:
    """log(x / (1 - x)), x kept within eps of 0 and 1 where eps is given."""
    x, eps = as_float(e, a.tensor("self")), a.any("eps", None)
    if eps is not None:
        x = e.op("Clip", x, e.constant(a.number("eps"), x.dtype), e.constant(1 - a.number("eps"), x.dtype))
    return e.op("Log", e.op("Div", x, e.op("Sub", e.constant(1, x.dtype), x)))


@new("xlogy.Tensor xlogy.Scalar_Other xlogy.Scalar_Self special_xlogy.default")
def _xlogy(e: Emitter, a: Arguments) -> Tensor:
    """x log y, 0 where x is 0; where y is NaN, NaN."""
    x, y = (as_float(e, side) for side in promoted(e, operand(a, "self"), operand(a, "other")))
    product = e.op("Mul", x, e.op("Log", y))
    nothing = e.op("And", e.op("Equal", x, e.constant(0, x.dtype)), e.op("Not", e.op("IsNaN", y)))
    return e.op("Where", nothing, e.constant(0, x.dtype), product)


@new("isfinite.default")
def _isfinite(e: Emitter, a: Arguments) -> Tensor:
    x = as_float(e, a.tensor("self"))
    return e.op("Not", e.op("Or", e.op("IsNaN", x), e.op("IsInf", x)))


@new("hypot.default")
def _hypot(e: Emitter, a: Arguments) -> Tensor:
    x, y = _in_floats(e, a, a.tensor("self"), a.tensor("other"))
    # In parts of the greater one: squares of large numbers are infinite, of small ones 0.
    x, y, zero, one = e.op("Abs", x), e.op("Abs", y), e.constant(0, x.dtype), e.constant(1, x.dtype)
    most, least = e.op("Max", x, y), e.op("Min", x, y)
    share = e.op("Div", least, e.op("Where", e.op("Equal", most, zero), one, most))
    made = e.op("Mul", most, e.op("Sqrt", e.op("Add", one, e.op("Mul", share, share))))
    infinite = e.op("Or", e.op("IsInf", x), e.op("IsInf", y))       # beside NaN, too
    return e.op("Where", infinite, e.constant(math.inf, x.dtype), made)


@new("rad2deg.default deg2rad.default")
def _degrees(e: Emitter, a: Arguments) -> Tensor:
    x = as_float(e, a.tensor("self"))
    return e.op("Mul", x, e.constant(180 / math.pi if a.op.startswith("rad") else math.pi / 180, x.dtype))


@new("rrelu.default")
def _rrelu(e: Emitter, a: Arguments) -> Tensor:
    """Outside training the slope is the middle of its range."""
    x, = _in_floats(e, a, a.tensor("self"))
    if a.flag("training", False):
        a.refuse("as in training it is random; export the module after module.eval()")
    return e.op("LeakyRelu", x, alpha=(float(a.number("lower", 1 / 8)) + float(a.number("upper", 1 / 3))) / 2)


@new("heaviside.default")
def _heaviside(e: Emitter, a: Arguments) -> Tensor:
    """0 below 0, 1 above, `values` at 0; a NaN is above nothing and gives 0 in torch, too."""
    x, at = promoted(e, a.tensor("self"), a.tensor("values"))
    if x.dtype == "bool":
        a.refuse("of truth values is not supported")
    zero = e.constant(0, x.dtype)
    return e.op("Where", e.op("Equal", x, zero), at, e.cast(e.op("Less", zero, x), x.dtype))


@new("isclose.default")
def _isclose(e: Emitter, a: Arguments) -> Tensor:
    """|x - y| <= atol + rtol |y|, or the same."""
    x, y = _in_floats(e, a, a.tensor("self"), a.tensor("other"))
    if a.flag("equal_nan", False):
        a.refuse("equal_nan is not supported")
    allowed = e.op("Add", e.constant(a.number("atol", 1e-8), x.dtype),
                   e.op("Mul", e.constant(a.number("rtol", 1e-5), x.dtype), e.op("Abs", y)))
    apart = e.op("Abs", e.op("Sub", x, y))
    near = e.op("And", e.op("LessOrEqual", apart, allowed), e.op("Not", e.op("IsInf", y)))
    return e.op("Or", near, e.op("Equal", x, y))


@new("float_power.Tensor_Scalar float_power.Tensor_Tensor float_power.Scalar")
def _float_power(e: Emitter, a: Arguments) -> Tensor:
    """In float64, whatever the operands are of."""
    x, y = promoted(e, operand(a, "self"), operand(a, "exponent"))
    return e.op("Pow", e.cast(x, "float64"), e.cast(y, "float64"))


@new("special_entr.default")
def _entropy(e: Emitter, a: Arguments) -> Tensor:
    """-x log x; 0 at 0, -inf below."""
    x, = _in_floats(e, a, a.tensor("self"))
    zero = e.constant(0, x.dtype)
    below = e.op("Where", e.op("Equal", x, zero), zero, e.op("Neg", e.op("Mul", x, e.op("Log", x))))
    return e.op("Where", e.op("Less", x, zero), e.constant(-math.inf, x.dtype), below)


@new("isin.Tensor_Tensor isin.Tensor_Scalar")
def _isin(e: Emitter, a: Arguments) -> Tensor:
    x = a.tensor("elements")
    wanted = operand(a, "test_elements" if a.has("test_elements") else "test_element")
    a.ignore("assume_unique")
    x, tests = promoted(e, x, wanted)
    same = e.op("Equal", e.unsqueeze(x, x.rank), e.reshape(tests, [-1]))
    found = reduced(e, "ReduceMax", e.cast(same, "int32"), [x.rank], False)
    found = e.cast(found, "bool")
    return e.op("Not", found) if a.flag("invert", False) else found


@new("linalg_multi_dot.default chain_matmul.default")
def _multi_dot(e: Emitter, a: Arguments) -> Tensor:
    first, *others = a.tensors("tensors" if a.has("tensors") else "matrices")
    for other in others:
        first = e.op("MatMul", first, other)
    return first


@new("trapezoid.dx trapz.dx")
def _trapezoid(e: Emitter, a: Arguments) -> Tensor:
    y, = _in_floats(e, a, a.tensor("y"))
    axis = a.axis("dim", y.rank, -1)
    # As torch has it: of all, half of the ends too much.
    ends = e.op("Add", *(e.op("Gather", y, e.constant(end, "int64"), axis=axis) for end in (0, -1)))
    inner = e.op("Sub", reduced(e, "ReduceSum", y, [axis], False), e.op("Mul", ends, e.constant(0.5, y.dtype)))
    return e.op("Mul", inner, e.constant(a.number("dx", 1), y.dtype))
