"""Attention and RotaryEmbedding, as ONNX has them since version 23."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..data_types import DATA_TYPES
from ..graph.nodes import Dim, Operator, Value
from .axis_rules import AxisCall
from .costs import PRODUCTS_AT_ONCE, Arrays, Need, need_of, size_of
from .kernels import Kernel, of_shape
from .older import optional_outputs
from .places import Place, need
from .shape_rules import ShapeCall, Shapes, same_size
from .spec import Attribute, declare, one_of

# ---- Attention ------------------------------------------------------------------------------------------------------

def _heads(x: np.ndarray, heads: int) -> np.ndarray:
    """[batch, time, heads * size] as [batch, heads, time, size]; what has four axes as it is."""
    return x if x.ndim == 4 else x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)


def _hidden(attributes: dict[str, Any], queries: int, keys: int, past: int, lengths: np.ndarray | None
            ) -> np.ndarray | None:
    """Which keys a query does not look at: [.., queries, keys], None if it looks at all.

    The queries are the last of the steps: behind `past` steps, or at the end of each sequence's own `lengths`.
    """
    left, right = attributes["left_window_size"], 0 if attributes["is_causal"] else attributes["right_window_size"]
    hidden = None
    if left >= 0 or right >= 0:
        begin: Any = past if lengths is None else (lengths - queries).reshape(-1, 1, 1, 1)
        behind = np.arange(queries)[:, None] + begin - np.arange(keys)
        hidden = (behind > left) if left >= 0 else np.zeros(behind.shape, bool)
        if right >= 0:
            hidden = hidden | (-behind > right)
    if lengths is not None:
        beyond = (np.arange(keys) >= lengths.reshape(-1, 1)).reshape(-1, 1, 1, keys)
        hidden = beyond if hidden is None else hidden | beyond
    return hidden


def _bias(mask: np.ndarray | None, hidden: np.ndarray | None, keys: int, dtype: np.dtype) -> np.ndarray | None:
    """What is added to the scores: of a mask, that hides the keys behind its end, and of what is hidden."""
    if mask is not None:
        mask = (np.where(mask, 0, -np.inf) if mask.dtype == bool else mask).astype(dtype, copy=False)
        if mask.shape[-1] > keys:
            raise ValueError(f"a mask of {mask.shape[-1]} keys for {keys}")
        rest = np.full((*mask.shape[:-1], keys - mask.shape[-1]), -np.inf, mask.dtype)
        mask = np.concatenate([mask, rest], axis=-1) if rest.size else mask
    if hidden is None:
        return mask
    unseen = np.where(hidden, -np.inf, 0).astype(dtype)
    return unseen if mask is None else mask + unseen


def _attention_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    softcap, mode, scale = attributes["softcap"], attributes["qk_matmul_output_mode"], attributes["scale"]
    precision = DATA_TYPES.get(attributes["softmax_precision"])

    def attention(query: np.ndarray, key: np.ndarray, value: np.ndarray, mask: np.ndarray | None = None,
                  past_key: np.ndarray | None = None, past_value: np.ndarray | None = None,
                  lengths: np.ndarray | None = None) -> list[np.ndarray]:
        rank, one = query.ndim, query.dtype.type
        query = _heads(query, attributes["q_num_heads"])
        key, value = (_heads(x, attributes["kv_num_heads"]) for x in (key, value))
        if past_key is not None and past_value is not None:
            key, value = np.concatenate([past_key, key], axis=2), np.concatenate([past_value, value], axis=2)
        made = [key, value]
        heads = query.shape[1] // key.shape[1]
        if key.shape[1] * heads != query.shape[1]:
            raise ValueError(f"{query.shape[1]} heads of queries for {key.shape[1]} of keys")
        key, value = (x.repeat(heads, axis=1) if heads > 1 else x for x in (key, value))
        if not query.shape[0] == key.shape[0] == value.shape[0]:
            raise ValueError(f"batches of {query.shape[0]}, {key.shape[0]} and {value.shape[0]}")
        root = one(math.sqrt(scale if scale is not None else 1 / math.sqrt(query.shape[3])))
        scores = np.matmul(query * root, key.transpose(0, 1, 3, 2) * root)
        shown = [scores]
        if softcap > 0:
            scores = np.tanh(scores / one(softcap)) * one(softcap)
        shown.append(scores)
        past = 0 if past_key is None else past_key.shape[2]
        hidden = _hidden(attributes, query.shape[2], key.shape[2], past, lengths)
        bias = _bias(mask, hidden, key.shape[2], query.dtype)
        scores = scores if bias is None else of_shape(scores + bias, scores)
        shown.append(scores)
        scores = scores if precision is None else scores.astype(precision)
        top = scores.max(axis=-1, keepdims=True, initial=-np.inf)
        share = np.exp(scores - np.where(np.isneginf(top), 0, top).astype(scores.dtype))
        total = share.sum(axis=-1, keepdims=True)
        share = share / np.where(total == 0, 1, total).astype(share.dtype)
        if bias is not None:            # a query that may look at nothing gets zeros
            share = np.where(np.isneginf(bias.max(axis=-1, keepdims=True, initial=-np.inf)), 0, share)
        share = share.astype(query.dtype, copy=False)
        shown.append(share)
        y = np.matmul(share, value)
        y = y.transpose(0, 2, 1, 3).reshape(y.shape[0], y.shape[2], -1) if rank == 3 else y
        return [y, *made, shown[mode]][:len(node.outputs)]
    return attention


def _attention_shape(call: ShapeCall) -> Shapes:
    rank, attributes = call.rank(), call.attributes
    if rank not in (3, 4) or rank != call.rank(1) or rank != call.rank(2):
        raise call.error(f"queries, keys and values need 3 or 4 axes each, got {rank}, {call.rank(1)}, {call.rank(2)}")
    if attributes["softmax_precision"] not in (0, 1, 10, 11):
        raise call.unknown(f"attribute 'softmax_precision' is data type {attributes['softmax_precision']}; "
                           "supported: 1 (float32), 10 (float16), 11 (float64)")
    if call.given(4) != call.given(5) or (call.given(4) and call.given(6)):
        raise call.error("past_key and past_value come together, and without nonpad_kv_seqlen")
    if call.given(4) and not call.rank(4) == call.rank(5) == 4:
        raise call.error("past_key and past_value need 4 axes")
    if call.given(3) and not 1 <= call.rank(3) <= 4:
        raise call.error(f"a mask of {call.rank(3)} axes")
    if call.given(6):
        call.indices(6)
    if min(attributes["left_window_size"], attributes["right_window_size"]) < -1:
        raise call.error("a window's size is -1 or more")
    query, key, value = (_four(call, i, "q_num_heads" if i == 0 else "kv_num_heads") for i in range(3))
    for a, b in ((query[0], key[0]), (key[0], value[0]), (query[3], key[3]), (key[1], value[1]), (key[2], value[2])):
        if not same_size(a, b):
            raise call.error(f"queries {query}, keys {key} and values {value} do not fit")
    if call.given(4):
        for made, past in ((key, call.shape(4)), (value, call.shape(5))):
            made[2] = made[2] + past[2] if isinstance(made[2], int) and isinstance(past[2], int) else None
    y = [query[0], query[1], query[2], value[3]]
    if rank == 3:
        y = [y[0], y[2], y[1] * y[3] if isinstance(y[1], int) and isinstance(y[3], int) else None]
    return [(y, call.dtype()), (key, call.dtype(1)), (value, call.dtype(2)),
            ([query[0], query[1], query[2], key[2]], call.dtype())]


def _four(call: ShapeCall, position: int, heads: str) -> list[Dim | None]:
    x, count = call.shape(position), call.attributes[heads]
    if len(x) == 4:
        if count and not same_size(x[1], count):
            raise call.error(f"attribute {heads!r} = {count}, input {position} has {x[1]} heads")
        return x
    if count < 1 or (isinstance(x[2], int) and x[2] % count):
        raise call.error(f"attribute {heads!r} = {count} does not divide the {x[2]} features of input {position}")
    return [x[0], count, x[1], x[2] // count if isinstance(x[2], int) else None]


def _attention_axes(call: AxisCall) -> Place:
    """The batch stays apart, of every input that has one."""
    query, key, value, mask, *others = (*call.given, None, None, None, None)[:7]
    need(query == key == value == 0 and all(at in (None, 0) for at in others))
    given = [i for i, name in enumerate(call.node.inputs) if name or i in call.node.constants]
    need(all(call.given[i] == 0 for i in given if i > 3))
    shape = call.shapes[3] if 3 in given else ()
    need(mask == 0 and len(shape) == 4 or mask is None and (len(shape) < 4 or shape[0] == 1))
    return 0


def _attention_needs(attributes: dict[str, Any], arrays: Arrays, made: Sequence[Value]) -> Need:
    query, key = arrays[0], arrays[1]
    past = arrays[4].shape[2] if len(arrays) > 4 and arrays[4] is not None else 0
    heads = query.shape[1] if query.ndim == 4 else attributes["q_num_heads"]
    steps, keys = query.shape[query.ndim - 2], key.shape[key.ndim - 2] + past
    scores = query.shape[0] * heads * steps * keys
    repeated = 2 * heads * sum(array.size for array in arrays[1:6] if array is not None)
    plain = need_of(arrays, made)
    size = query.size // max(1, query.shape[0] * heads * steps) + size_of(made[0])
    return Need(plain.bytes + 8 * (6 * scores + 2 * query.size + repeated),
                plain.work + 16 * scores + scores * size // PRODUCTS_AT_ONCE)


declare("Attention", (3, 7), (1, 4), make=_attention_kernel, older=optional_outputs, shape=_attention_shape,
        axes=_attention_axes, combines=True, needs=_attention_needs, attributes={
            "is_causal": one_of(0, 1), "q_num_heads": 0, "kv_num_heads": 0, "scale": Attribute(float, None),
            "softcap": 0.0, "softmax_precision": 0, "qk_matmul_output_mode": one_of(0, 1, 2, 3),
            "left_window_size": -1, "right_window_size": -1},
        takes=("floats", "floats", "floats", "any", "floats", "floats", "int64"), apart="KKVMKVN")


# ---- RotaryEmbedding ------------------------------------------------------------------------------------------------

def _rotary_kernel(attributes: dict[str, Any], node: Operator) -> Kernel:
    heads, width, interleaved = (attributes[name] for name in ("num_heads", "rotary_embedding_dim", "interleaved"))

    def rotary(x: np.ndarray, cosine: np.ndarray, sine: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
        y = x.reshape(*x.shape[:2], heads, -1) if x.ndim == 3 else x.transpose(0, 2, 1, 3)
        turned, kept = (y[..., :width], y[..., width:]) if width else (y, y[..., :0])
        if places is not None:
            if places.min(initial=0) < 0:
                raise ValueError(f"position {places.min()} is negative")
        if cosine.shape != sine.shape or cosine.shape[-1] * 2 != turned.shape[-1]:
            raise ValueError(f"tables {list(cosine.shape)} and {list(sine.shape)} for {turned.shape[-1]} features")
        if places is not None:
            cosine, sine = cosine[places], sine[places]
        cosine, sine = cosine[:, :, None], sine[:, :, None]         # [batch, time, 1, half of the width]
        half = turned.shape[-1] // 2
        a, b = (turned[..., 0::2], turned[..., 1::2]) if interleaved else (turned[..., :half], turned[..., half:])
        real, imaginary = cosine * a - sine * b, sine * a + cosine * b
        mixed = np.stack([real, imaginary], axis=-1).reshape(turned.shape) if interleaved else \
            np.concatenate([real, imaginary], axis=-1)
        made = np.concatenate([mixed, kept], axis=-1)
        return made.reshape(x.shape) if x.ndim == 3 else made.transpose(0, 2, 1, 3)
    return rotary


def _rotary_shape(call: ShapeCall) -> Shapes:
    x, heads = call.shape(), call.attributes["num_heads"]
    if call.attributes["rotary_embedding_dim"] < 0:
        raise call.error(f"attribute 'rotary_embedding_dim' is {call.attributes['rotary_embedding_dim']}")
    if len(x) not in (3, 4) or (len(x) == 3 and (heads < 1 or isinstance(x[2], int) and x[2] % heads)):
        raise call.error(f"expected 4 axes, or 3 and 'num_heads' that divides the last; got {x} and {heads}")
    tables = 2 if call.given(3) else 3
    if call.given(3):
        call.indices(3)
    if call.rank(1) != tables or call.rank(2) != tables or (call.given(3) and call.rank(3) != 2):
        raise call.error(f"tables of {call.rank(1)} and {call.rank(2)} axes; expected {tables}")
    return [(x, call.dtype())]


def _rotary_axes(call: AxisCall) -> Place:
    x, cosine, sine, places = (*call.given, None)[:4]
    need(x == 0 and ((cosine, sine, places) == (None, None, 0) if len(call.shapes) > 3 else cosine == sine == 0))
    return 0


declare("RotaryEmbedding", (3, 4), make=_rotary_kernel, shape=_rotary_shape, axes=_rotary_axes, work=8, scratch=6,
        attributes={"num_heads": 0, "rotary_embedding_dim": 0, "interleaved": one_of(0, 1)},
        takes=("floats", "floats", "floats", "int64"))
