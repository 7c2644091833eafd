"""What layers over one, two or three axes of space (or time) share: their settings, and where the channels stand.

Keras keeps channels last unless told otherwise; ONNX's operators have them behind the batch. A value that was made
with channels first is remembered, so that a chain of such layers moves them there once and back once.
"""

from __future__ import annotations

from collections.abc import Sequence

from ....errors import FormatError, UnsupportedError
from ....graph.nodes import Dim
from ..reading.calls import MAX_SIZE
from ..reading.config import Layer
from .builder import Builder, Tensor
from .registry import Arguments, Context, floats


def axes_of_space(layer: Layer) -> int:
    """How many axes a layer works over, as its name says: Conv1D 1, MaxPooling2D 2, GlobalAveragePooling3D 3."""
    return next(int(char) for char in layer.kind if char in "123")


def channels_last(layer: Layer) -> bool:
    """Whether `data_format` is Keras' default. Raises UnsupportedError for one that is unknown."""
    given = layer.config.get("data_format", "channels_last")
    if given not in ("channels_last", "channels_first", None):
        raise UnsupportedError(f"{layer}: data_format {given!r:.80} is not supported; supported: channels_last, "
                               "channels_first")
    return bool(given != "channels_first")


def sizes(layer: Layer, key: str, count: int, default: object = 1, least: int = 1) -> tuple[int, ...]:
    """A setting that is a whole number, or one for each of `count` axes. Raises FormatError for anything else."""
    value = layer.config.get(key, default)
    value = default if value is None else value
    given = value if isinstance(value, (list, tuple)) else [value] * count
    if len(given) != count or not all(type(size) is int and least <= size < MAX_SIZE for size in given):
        raise FormatError(f"{layer}: {key} is {value!r:.80}; expected a whole number from {least}, or {count} of them")
    return tuple(given)


def padding(layer: Layer, *accepted: str) -> str:
    """The setting `padding`. Raises UnsupportedError for one that this layer does not have in Keras."""
    value = layer.config.get("padding", "valid")
    if value not in accepted:
        raise UnsupportedError(f"{layer}: padding {value!r:.80} is not supported; supported: {', '.join(accepted)}")
    return str(value)


def channels_first(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """The one input of a layer, as floating-point numbers [batch, channels, *space]."""
    builder, x = context.builder, floats(context, layer, arguments, axes_of_space(layer) + 2)
    if not channels_last(layer):
        return x
    known = builder.known(("channels first", x.name))
    if isinstance(known, Tensor):
        return known
    axes = (0, x.rank - 1, *range(1, x.rank - 1))
    return builder.operator("Transpose", f"{layer.where}/channels_first", [x], [x.shape[axis] for axis in axes],
                            attributes={"perm": axes})


def in_its_format(builder: Builder, layer: Layer, y: Tensor) -> Tensor:
    """y [batch, channels, *space] as the layer gives it."""
    if not channels_last(layer):
        return y
    axes = (0, *range(2, y.rank), 1)
    made = builder.operator("Transpose", layer.where, [y], [y.shape[axis] for axis in axes],
                            attributes={"perm": axes})
    builder.shared(("channels first", made.name), lambda: y)
    return made


def windowed(builder: Builder, space: Sequence[Dim], window: Sequence[int], strides: Sequence[int],
             dilations: Sequence[int], added: Sequence[int] | None) -> tuple[Dim, ...]:
    """The sizes that a window leaves of some axes. added: what padding adds to each; None: "same" padding."""
    made: list[Dim] = []
    for axis, size in enumerate(space):
        if added is None and strides[axis] == 1:
            made.append(size)
        elif not isinstance(size, int):
            made.append(builder.symbol())
        elif added is None:
            made.append(-(-size // strides[axis]))
        else:
            made.append(max(0, (size + added[axis] - dilations[axis] * (window[axis] - 1) - 1) // strides[axis] + 1))
    return tuple(made)
