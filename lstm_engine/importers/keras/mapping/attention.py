"""Attention over steps (Luong's and Bahdanau's form, several heads) and the Dot of two inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ....errors import FormatError, UnsupportedError
from ....graph import Dense
from ....graph.activations import Activation
from ..reading.config import Layer
from .builder import Builder, Tensor
from .core import activate
from .registry import OWN, Arguments, Context, maps, promoted, show
from .scaling import of_norm_one
from .weights import check_shape

# What Keras takes from the scores of masked steps before the softmax (of float32 and float64).
MASKED_SCORE = 1e9
_CALLED_WITH = ("mask", "training", "return_attention_scores", "use_causal_mask")


@maps("Attention", "AdditiveAttention", mask=OWN, call=_CALLED_WITH)
def attention(context: Context, layer: Layer, arguments: Arguments) -> list[Tensor]:
    """softmax(scores of [query, value, key or value]) value; scores are q k' scale, or those of a sum through tanh."""
    builder, name = context.builder, layer.where
    if len(arguments.x) not in (2, 3) or any(x.rank != 3 for x in arguments.x):
        raise UnsupportedError(f"{layer} of {' and '.join(show(x.shape) for x in arguments.x)} is not supported; "
                               "supported: [query, value] or [query, value, key], each [batch, steps, features]")
    query, value, key = builder.in_one_dtype([*arguments.x, arguments.x[1]][:3], name)
    scores = (_additive if layer.kind == "AdditiveAttention" else _dot_scores)(context, layer, query, key)
    masks = [*arguments.masks, None, None]
    causal = layer.get("causal", bool, False) or bool(arguments.setting(layer, "use_causal_mask", 3, False))
    attended = _attended(builder, name, scores, masks[1], causal)
    weights = activate(context, f"{name}/weights", attended, Activation.of("softmax"))
    made = builder.operator("MatMul", name, [weights, value], (*query.shape[:2], value.shape[2]))
    if masks[0] is not None:
        kept = _wider(builder, f"{name}/query_mask", masks[0], 2)
        made = builder.operator("Where", name, [kept, made, np.zeros((), made.dtype)], made.shape, made.dtype)
    made = replace(made, mask=masks[0])
    return [made, weights] if arguments.setting(layer, "return_attention_scores", 2, False) else [made]


def _dot_scores(context: Context, layer: Layer, query: Tensor, key: Tensor) -> Tensor:
    """[batch, query steps, key steps]."""
    builder, name = context.builder, layer.where
    mode, scaled = layer.config.get("score_mode", "dot"), layer.get("use_scale", bool, False)
    if mode not in ("dot", "concat"):
        raise UnsupportedError(f"{layer}: score_mode {mode!r:.80} is not supported; supported: dot, concat")
    arrays = context.weights.take(layer, (scaled + (mode == "concat"),)) if scaled or mode == "concat" else []
    for array in arrays:
        check_shape(layer, "scale", array)
    scale = arrays[0] if scaled else None
    _check_features(builder, layer, query, key)
    if mode == "concat":
        total = builder.operator("ReduceSum", f"{name}/total", [_pairs(builder, name, query, key, scale),
                                                                np.array([3], np.int64)],
                                 (*query.shape[:2], key.shape[1]), attributes={"keepdims": 0})
        return builder.operator("Mul", f"{name}/scores", [total, arrays[-1]], total.shape)
    across = builder.operator("Transpose", f"{name}/keys", [key], (key.shape[0], key.shape[2], key.shape[1]),
                              attributes={"perm": (0, 2, 1)})
    scores = builder.operator("MatMul", f"{name}/scores", [query, across], (*query.shape[:2], key.shape[1]))
    return scores if scale is None else builder.operator("Mul", f"{name}/scaled", [scores, scale], scores.shape)


def _additive(context: Context, layer: Layer, query: Tensor, key: Tensor) -> Tensor:
    builder, name = context.builder, layer.where
    _check_features(builder, layer, query, key)
    made = _pairs(builder, name, query, key, None)
    if layer.get("use_scale", bool, True):
        scale, = context.weights.take(layer, (1,))
        if scale.ndim != 1 or not builder.unify(query.shape[2], scale.size):
            raise FormatError(f"{layer}: scale has the shape {list(scale.shape)}, the queries {show(query.shape)}")
        made = builder.operator("Mul", f"{name}/scaled", [made, scale], made.shape)
    return builder.operator("ReduceSum", f"{name}/scores", [made, np.array([3], np.int64)], made.shape[:3],
                            attributes={"keepdims": 0})


def _check_features(builder: Builder, layer: Layer, query: Tensor, key: Tensor) -> None:
    if not builder.unify(query.shape[2], key.shape[2]):
        raise FormatError(f"{layer}: queries {show(query.shape)} and keys {show(key.shape)} have different features")


def _pairs(builder: Builder, name: str, query: Tensor, key: Tensor, scale: np.ndarray | None) -> Tensor:
    """tanh of (scale times) the sum of each query and each key, [batch, query steps, key steps, features]."""
    (batch, queries, features), keys = query.shape, key.shape[1]
    rows = builder.operator("Unsqueeze", f"{name}/queries", [query, np.array([2], np.int64)],
                            (batch, queries, 1, features))
    columns = builder.operator("Unsqueeze", f"{name}/keys", [key, np.array([1], np.int64)], (batch, 1, keys, features))
    made = builder.operator("Add", f"{name}/pairs", [rows, columns], (batch, queries, keys, features))
    if scale is not None:
        made = builder.operator("Mul", f"{name}/pairs/scaled", [made, scale], made.shape)
    return builder.operator("Tanh", f"{name}/pairs/tanh", [made], made.shape)


def _wider(builder: Builder, name: str, mask: Tensor, axis: int) -> Tensor:
    """A mask [batch, steps] with one more axis of one."""
    return builder.operator("Unsqueeze", name, [mask, np.array([axis], np.int64)],
                            (*mask.shape[:axis], 1, *mask.shape[axis:]))


def _attended(builder: Builder, name: str, scores: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """Scores with those of steps that may not be looked at lowered out of reach. mask: [batch, steps] of the values, or
    of the rank of the scores."""
    seen = mask if mask is None or mask.rank == scores.rank else _wider(builder, f"{name}/value_mask", mask, 1)
    if causal:
        shape = builder.operator("Shape", f"{name}/sizes", [scores], (scores.rank,), "int64")
        every = builder.operator("ConstantOfShape", f"{name}/every", [shape, np.array([1], np.int32)], scores.shape,
                                 "int32")
        past = builder.operator("Trilu", f"{name}/past", [every], scores.shape, attributes={"upper": 0})
        past = builder.cast(past, "bool", f"{name}/past")
        seen = past if seen is None else builder.operator("And", f"{name}/seen", [past, seen], scores.shape)
    if seen is None:
        return scores
    kept = scores
    if scores.dtype == "float32":       # so far down only multiples of 64 are told apart; float64 is to have the same
        part = builder.operator("Mul", f"{name}/part", [scores, np.array(1 / 64, scores.dtype)], scores.shape)
        whole = builder.operator("Round", f"{name}/whole", [part], scores.shape)
        kept = builder.operator("Mul", f"{name}/left", [whole, np.array(64, scores.dtype)], scores.shape)
    lowered = builder.operator("Sub", f"{name}/lowered", [kept, np.array(MASKED_SCORE, scores.dtype)], scores.shape)
    return builder.operator("Where", f"{name}/attended", [seen, scores, lowered], scores.shape, scores.dtype)


@maps("MultiHeadAttention", "GroupQueryAttention", "GroupedQueryAttention", mask=OWN,
      call=("value", "key", "query_mask", "value_mask", "key_mask", "attention_mask", "return_attention_scores",
            "training", "use_causal_mask"))
def multi_head_attention(context: Context, layer: Layer, arguments: Arguments) -> list[Tensor]:
    """Heads of scaled dot products between projections of query, key and value, joined by a last projection.

    In groups, several heads of the query have one of key and value: it is repeated for them.
    """
    builder, name = context.builder, layer.where
    given = [arguments.x[0], arguments.setting(layer, "value", 0), arguments.setting(layer, "key", 1)]
    if len(arguments.x) > 1 or not isinstance(given[1], Tensor):
        raise FormatError(f"{layer} is called without a value; expected a query and a value")
    given[2] = given[1] if given[2] is None else given[2]
    if any(not isinstance(x, Tensor) or x.rank != 3 for x in given) or layer.config.get("attention_axes") not in (
            None, [1], 1):
        shapes = " and ".join(show(x.shape) for x in given if isinstance(x, Tensor))
        raise UnsupportedError(f"{layer} of {shapes} is not supported; supported: [batch, steps, features], attention "
                               "over the steps")
    seen = _seen(context, layer, given, arguments)
    layer.config.get("output_shape")                # the last kernel's shape says it
    grouped = layer.kind != "MultiHeadAttention"
    layer.config.get("flash_attention")             # how it is computed
    heads = layer.size("num_query_heads" if grouped else "num_heads")
    size = layer.size("head_dim" if grouped else "key_dim")
    depth = layer.size("value_dim") if not grouped and layer.config.get("value_dim") else size
    of_values = layer.size("num_key_value_heads") if grouped else heads
    if heads % of_values:
        raise FormatError(f"{layer}: {heads} heads do not divide into {of_values} groups")
    query, value, key = builder.in_one_dtype(given, name)
    use_bias = layer.get("use_bias", bool, True)

    def projected(role: str, x: Tensor, width: int, perm: tuple[int, ...]) -> Tensor:
        """[batch, heads, steps, width], or as `perm` has it."""
        arrays = context.weights.take(layer, (1 + use_bias,), f"{role}_dense", f"_{role}_dense")
        own = heads if role == "query" else of_values
        check_shape(layer, f"{role}'s kernel", arrays[0], None, own, width)
        for array in arrays[1:]:
            check_shape(layer, f"{role}'s bias", array, own, width)
        arrays = arrays if own == heads else [np.repeat(array, heads // own, axis=-2) for array in arrays]
        made = _dense(context, layer, f"{name}/{role}", x, arrays[0].reshape(arrays[0].shape[0], -1), arrays[1:])
        split = builder.operator("Reshape", f"{name}/{role}/heads", [made, np.array([0, 0, heads, width], np.int64)],
                                 (*x.shape[:2], heads, width))
        return builder.operator("Transpose", f"{name}/{role}/across", [split], [split.shape[axis] for axis in perm],
                                attributes={"perm": perm})

    q = projected("query", query, size, (0, 2, 1, 3))
    k = projected("key", key, size, (0, 2, 3, 1))
    v = projected("value", value, depth, (0, 2, 1, 3))
    q = builder.operator("Mul", f"{name}/query/scaled", [q, np.array(1 / math.sqrt(size), q.dtype)], q.shape)
    scores = builder.operator("MatMul", f"{name}/scores", [q, k], (*q.shape[:3], k.shape[3]))
    causal = bool(arguments.setting(layer, "use_causal_mask", 8, False))
    weights = activate(context, f"{name}/weights", _attended(builder, name, scores, seen, causal),
                       Activation.of("softmax"))
    made = builder.operator("MatMul", f"{name}/attended", [weights, v], (*q.shape[:3], depth))
    batch, _, steps, _ = made.shape
    made = builder.operator("Transpose", f"{name}/back", [made], (batch, steps, heads, depth),
                            attributes={"perm": (0, 2, 1, 3)})
    made = builder.operator("Reshape", f"{name}/joined", [made, np.array([0, 0, heads * depth], np.int64)],
                            (batch, steps, heads * depth))
    arrays = context.weights.take(layer, (1 + use_bias,), "output_dense", "_output_dense")
    check_shape(layer, "the output's kernel", arrays[0], heads, depth, None)
    made = _dense(context, layer, name, made, arrays[0].reshape(heads * depth, -1), arrays[1:])
    if context.version.attention_heeds_masks:
        made = replace(made, mask=given[0].mask)
    return [made, weights] if arguments.setting(layer, "return_attention_scores", 6, False) else [made]


def _seen(context: Context, layer: Layer, given: Sequence[Tensor], arguments: Arguments) -> Tensor | None:
    """[batch, 1, queries, values]: what each step may attend to, by the masks of query, value and key, and by one that
    is given. None: everything. Keras 3 writes the masks of its inputs into the call.

    Raises UnsupportedError where a mask is of no use to the Keras that wrote the file (3.7 and later): what a step gets
    that may attend to nothing depends on the backend then, and the layer takes the mask off its input for all who read
    it later.
    """
    builder, name = context.builder, layer.where
    roles = [(arguments.setting(layer, f"{role}_mask", place), x.mask, axis) for role, place, x, axis in zip(
        ("query", "value", "key"), (2, 3, 4), given, (2, 1, 1), strict=True)]
    masks: list[tuple[Any, int]] = [(own if told is None else told, axis) for told, own, axis in roles
                                    if told is not None or own is not None]
    if any(not isinstance(mask, Tensor) or mask.dtype != "bool" or mask.rank != 2 for mask, _ in masks):
        raise UnsupportedError(f"{layer} is called with masks of its own that are not bool [batch, steps], which is "
                               "not supported")
    explicit = arguments.setting(layer, "attention_mask", 5)
    if explicit is not None and (not isinstance(explicit, Tensor) or explicit.rank != 3 or explicit.dtype != "bool"):
        raise UnsupportedError(f"{layer} with the attention_mask {getattr(explicit, 'dtype', explicit)!r:.80} is not "
                               "supported; supported: bool [batch, steps of the query, steps of the value]")
    if (masks or explicit is not None) and context.version.numbers >= (3, 7):
        raise UnsupportedError(f"{layer} of a masked input is not supported in a file of Keras {context.version.text}: "
                               "what a step without anything to attend to gets depends on the backend; supported: "
                               "inputs without masks")
    if not context.version.attention_heeds_masks:
        masks = []
    parts = [_wider(builder, f"{name}/mask", mask, axis) for mask, axis in masks]
    parts += [] if explicit is None else [explicit]
    shape = (given[0].shape[0], given[0].shape[1], given[1].shape[1])
    seen: Tensor | None = None
    for part in parts:
        seen = part if seen is None else builder.operator("And", f"{name}/masks", [seen, part], shape)
    return seen and builder.operator("Unsqueeze", f"{name}/seen", [seen, np.array([1], np.int64)],
                                     (seen.shape[0], 1, *seen.shape[1:]))


def _dense(context: Context, layer: Layer, name: str, x: Tensor, kernel: np.ndarray, biases: list[np.ndarray]
           ) -> Tensor:
    if not context.builder.unify(x.shape[-1], kernel.shape[0]):
        raise FormatError(f"{layer}: {name} takes {kernel.shape[0]} features; its input has the shape {show(x.shape)}")
    bias = np.ascontiguousarray(biases[0].reshape(-1)) if biases else None
    if bias is not None and bias.size != kernel.shape[1]:
        raise FormatError(f"{layer}: the bias of {name} has {bias.size} numbers; expected {kernel.shape[1]}")
    return context.builder.add(Dense, name, [x], [(name, (*x.shape[:-1], kernel.shape[1]), x.dtype)],
                               kernel=np.ascontiguousarray(kernel), bias=bias, activation=Activation.of("linear"))[0]


@maps("Dot")
def dot(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """The sum of products along one axis of each of two inputs, for each sample by itself."""
    builder, name = context.builder, layer.where
    if len(arguments.x) != 2 or any(x.rank not in (2, 3) for x in arguments.x):
        raise UnsupportedError(f"{layer} of {' and '.join(show(x.shape) for x in arguments.x)} is not supported; "
                               "supported: two inputs of 2 or 3 dimensions")
    normal = layer.get("normalize", bool, False)
    left, right = builder.in_one_dtype(arguments.x, name) if normal else promoted(context, layer, arguments.x)
    axes = layer.get("axes", (int, list))
    axes = axes if isinstance(axes, list) else [axes, axes]
    if len(axes) != 2 or not all(type(axis) is int and axis % x.rank and -x.rank <= axis < x.rank
                                 for axis, x in zip(axes, (left, right))):
        raise FormatError(f"{layer}: axes is {axes!r:.80}; expected one axis of each input, not the batch")
    axes = [axis % x.rank for axis, x in zip(axes, (left, right))]
    if not builder.unify(left.shape[axes[0]], right.shape[axes[1]]):
        raise FormatError(f"{layer}: inputs {show(left.shape)} and {show(right.shape)} differ in size along {axes}")
    if normal:
        if context.version.numbers[:2] == (3, 0):
            raise UnsupportedError(f"{layer} with normalize in a file of Keras {context.version.text} is not "
                                   "supported: what it divided by changed; load and save it with a later version")
        # The least sum of squares that is divided by. Keras 3 states it of the norm.
        least = 1e-14 if context.version.three else 1e-12
        left, right = (of_norm_one(builder, f"{name}/{side}_normal", x, [axis], least)
                       for side, x, axis in (("left", left, axes[0]), ("right", right, axes[1])))
    row = left.rank == 2
    if row:
        left = _expanded(builder, f"{name}/left", left, 1)
    elif axes[0] == 1:
        left = _swapped(builder, f"{name}/left", left)
    column = right.rank == 2
    if column:
        right = _expanded(builder, f"{name}/right", right, 2)
    elif axes[1] == 2:
        right = _swapped(builder, f"{name}/right", right)
    made = builder.operator("MatMul", f"{name}/products", [left, right], (*left.shape[:2], right.shape[2]))
    gone = ([1] if row else []) + ([2] if column and not row else [])      # of two vectors one axis of one is left
    if not gone:
        return made
    shape = tuple(size for axis, size in enumerate(made.shape) if axis not in gone)
    return builder.operator("Squeeze", name, [made, np.array(gone, np.int64)], shape)


def _expanded(builder: Builder, name: str, x: Tensor, axis: int) -> Tensor:
    return builder.operator("Unsqueeze", name, [x, np.array([axis], np.int64)], (*x.shape[:axis], 1, *x.shape[axis:]))


def _swapped(builder: Builder, name: str, x: Tensor) -> Tensor:
    return builder.operator("Transpose", name, [x], (x.shape[0], x.shape[2], x.shape[1]),
                            attributes={"perm": (0, 2, 1)})
