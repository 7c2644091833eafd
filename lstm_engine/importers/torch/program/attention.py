"""Scaled dot-product attention, as torch.nn.MultiheadAttention and the transformer layers call it.

Source: torch.nn.functional.scaled_dot_product_attention; a query that may look at nothing gets zeros.
"""

from __future__ import annotations

import math

from .arguments import Arguments
from .emit import Emitter, Tensor
from .reductions import reduced
from .registry import aten


@aten("scaled_dot_product_attention.default", fresh=True)
def _attention(e: Emitter, a: Arguments) -> Tensor:
    """softmax(scale q k^T + mask) v over [..., steps, features]."""
    q, k, v = (a.tensor(name) for name in ("query", "key", "value"))
    mask, scale, width = a.optional("attn_mask"), a.any("scale", None), q.shape[-1] if q.rank else 0
    if a.number("dropout_p", 0.0) != 0:
        a.refuse("dropout as in training is random; export the module after module.eval()")
    if a.flag("enable_gqa", False):
        a.refuse("enable_gqa is not supported")
    if min(q.rank, k.rank, v.rank) < 2 or not q.is_float or not q.dtype == k.dtype == v.dtype:
        a.wrong("needs query, key and value of two axes or more, of one floating-point dtype")
    if scale is None:
        if not isinstance(width, int) or not width:
            a.refuse("a number of features that is open gives no scale")
        scale = 1 / math.sqrt(width)
    if type(scale) not in (int, float):
        a.wrong("scale must be a number")
    scores = e.op("Mul", e.op("MatMul", q, e.swap(k, k.rank - 2, k.rank - 1)), e.constant(scale, q.dtype))
    nothing = e.constant(-math.inf, q.dtype)
    if a.flag("is_causal", False):
        scores = e.op("Where", _before(e, q, k), scores, nothing)
    if mask is not None:
        scores = e.op("Where", mask, scores, nothing) if mask.dtype == "bool" else \
            e.op("Add", scores, e.cast(mask, q.dtype))
    weights = e.op("Softmax", scores, axis=-1)
    if mask is not None:
        blind = e.op("Equal", reduced(e, "ReduceMax", scores, [scores.rank - 1], True), nothing)
        weights = e.op("Where", blind, e.constant(0, q.dtype), weights)
    return e.op("MatMul", weights, v)


def _before(e: Emitter, q: Tensor, k: Tensor) -> Tensor:
    """[queries, keys]: whether a key stands at or before its query."""
    zero, one = e.constant(0, "int64"), e.constant(1, "int64")
    queries, keys = (e.op("Range", zero, e.scalar(e.size(x, x.rank - 2)), one) for x in (q, k))
    return e.op("LessOrEqual", e.unsqueeze(keys, 0), e.unsqueeze(queries, 1))
