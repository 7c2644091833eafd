"""Symbolic shapes of convolutions, pools and normalizations."""

from __future__ import annotations

from collections.abc import Sequence

from .nodes import Dim
from .operator_rules import Call, Dims, rule


def windows(attributes: dict, spatial: int) -> tuple[list[int], list[int]]:
    """Strides and dilations of `spatial` axes, 1 where they are left out."""
    return list(attributes["strides"] or (1,) * spatial), list(attributes["dilations"] or (1,) * spatial)


def window_pads(auto_pad: str, pads: Sequence[int], size: int, reach: int, stride: int, axis: int,
                spatial: int) -> tuple[int, int]:
    """Padding before and after one spatial axis of `size`; reach: the kernel's extent, dilation included."""
    if auto_pad == "VALID":
        return 0, 0
    if auto_pad == "NOTSET":
        return (pads[axis], pads[axis + spatial]) if pads else (0, 0)
    total = max(0, (-(-size // stride) - 1) * stride + reach - size)
    small, large = total // 2, total - total // 2
    return (small, large) if auto_pad == "SAME_UPPER" else (large, small)


def window_count(size: int, reach: int, stride: int, before: int, after: int, ceil_mode: int = 0) -> int:
    """How many windows fit; with ceil_mode a last one that starts inside the input or its leading padding."""
    room = size + before + after - reach
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + before else count


def check_windows(call: Call, spatial: int, kernel: Sequence[int]) -> None:
    """The attributes of a window operator against the number of its spatial axes."""
    attributes = call.attributes
    for name, count in (("strides", spatial), ("dilations", spatial), ("pads", 2 * spatial),
                        ("output_padding", spatial), ("output_shape", spatial)):
        value = attributes.get(name, ())
        if value and len(value) != count:
            raise call.error(f"attribute {name!r} has {len(value)} entries for {spatial} spatial axes")
        if value and min(value) < (1 if name in ("strides", "dilations") else 0):
            raise call.error(f"attribute {name!r} is too small: {value}")
    if len(kernel) != spatial or min(kernel, default=1) < 1:
        raise call.error(f"a kernel of shape {tuple(kernel)} does not fit {spatial} spatial axes")


def _spatial(call: Call, x: Dims, kernel: Sequence[int]) -> Dims:
    spatial = len(x) - 2
    check_windows(call, spatial, kernel)
    strides, dilations = windows(call.attributes, spatial)
    result: Dims = []
    for i, size in enumerate(x[2:]):
        if not isinstance(size, int):
            result.append(size if kernel[i] == strides[i] == 1 and not any(call.attributes["pads"]) else None)
            continue
        reach = (kernel[i] - 1) * dilations[i] + 1
        pads = window_pads(call.attributes["auto_pad"], call.attributes["pads"], size, reach, strides[i], i, spatial)
        if size + sum(pads) < reach:
            raise call.error(f"spatial axis {i} of size {size} is smaller than the kernel's reach {reach}")
        result.append(window_count(size, reach, strides[i], *pads, call.attributes.get("ceil_mode", 0)))
    return result


def _weight(call: Call, x: Dims) -> tuple[list[int], int, int]:
    """Kernel sizes and the first two sizes of a convolution's weight, checked."""
    weight = call.shape(1)
    if len(x) < 3 or len(weight) != len(x):
        raise call.error(f"input and weight need the same 3 or more axes, not {len(x)} and {len(weight)}")
    if not all(isinstance(dim, int) for dim in weight):
        raise call.unknown("the weight's shape is known only when the model runs")
    sizes: list[int] = weight       # type: ignore[assignment]
    given = call.attributes["kernel_shape"]
    if given and list(given) != sizes[2:]:
        raise call.error(f"kernel_shape {given} differs from the weight's {tuple(sizes[2:])}")
    return sizes[2:], sizes[0], sizes[1]


@rule("Conv")
def _conv(call: Call) -> list:
    x, group = call.shape(), call.attributes["group"]
    kernel, out, per_group = _weight(call, x)
    if group < 1 or out % group or (isinstance(x[1], int) and x[1] != per_group * group):
        raise call.error(f"{x[1]} channels and a weight {call.shape(1)} do not fit {group} groups")
    _bias(call, out)
    return [([x[0], out] + _spatial(call, x, kernel), call.dtype())]


@rule("ConvTranspose")
def _conv_transpose(call: Call) -> list:
    x, group = call.shape(), call.attributes["group"]
    kernel, channels, per_group = _weight(call, x)
    if group < 1 or channels % group or (isinstance(x[1], int) and x[1] != channels):
        raise call.error(f"{x[1]} channels and a weight {call.shape(1)} do not fit {group} groups")
    _bias(call, per_group * group)
    spatial = len(kernel)
    check_windows(call, spatial, kernel)
    strides, dilations = windows(call.attributes, spatial)
    extra = call.attributes["output_padding"] or (0,) * spatial
    result: Dims = []
    for i, size in enumerate(x[2:]):
        reach = (kernel[i] - 1) * dilations[i] + 1
        if call.attributes["output_shape"]:
            result.append(call.attributes["output_shape"][i])
        elif isinstance(size, int):
            result.append(transposed_size(call.attributes, size, reach, strides[i], extra[i], i, spatial))
        else:
            result.append(None)
    if any(isinstance(size, int) and size < 1 for size in result):
        raise call.error(f"the padding leaves an output of size {result}")
    return [([x[0], per_group * group] + result, call.dtype())]


def transposed_size(attributes: dict, size: int, reach: int, stride: int, extra: int, axis: int, spatial: int) -> int:
    """The size of one spatial axis that a transposed convolution makes, without `output_shape`."""
    if attributes["auto_pad"].startswith("SAME"):
        return size * stride
    pads = attributes["pads"]
    total = pads[axis] + pads[axis + spatial] if pads and attributes["auto_pad"] == "NOTSET" else 0
    return stride * (size - 1) + extra + reach - total


def _bias(call: Call, out: int) -> None:
    if call.given(2) and call.shape(2) != [out] and isinstance(call.shape(2)[0] if call.rank(2) == 1 else 0, int):
        raise call.error(f"a bias of shape {call.shape(2)} for {out} channels")


@rule("MaxPool AveragePool")
def _pool(call: Call) -> list:
    x = call.shape()
    if len(x) < 3:
        raise call.error(f"the input needs 3 or more axes, not {len(x)}")
    return [(x[:2] + _spatial(call, x, call.attributes["kernel_shape"]), call.dtype())]


@rule("GlobalAveragePool GlobalMaxPool")
def _global_pool(call: Call) -> list:
    x = call.shape()
    if len(x) < 3:
        raise call.error(f"the input needs 3 or more axes, not {len(x)}")
    return [(x[:2] + [1] * (len(x) - 2), call.dtype())]


def _per_channel(call: Call, positions: Sequence[int]) -> None:
    x = call.shape()
    channels: Dim | None = x[1] if len(x) > 1 else 1
    for position in positions:
        shape = call.shape(position)
        if len(shape) != 1 or (isinstance(shape[0], int) and isinstance(channels, int) and shape[0] != channels):
            raise call.error(f"input {position} of shape {shape} for {channels} channels")
        if isinstance(shape[0], int):
            channels = shape[0]              # where x does not say how many, its parameters must agree with each other


@rule("BatchNormalization")
def _batch_normalization(call: Call) -> list:
    _per_channel(call, (1, 2, 3, 4))
    return [(call.shape(), call.dtype())]


@rule("InstanceNormalization GroupNormalization")
def _channel_normalization(call: Call) -> list:
    _per_channel(call, (1, 2))
    groups, x = call.attributes.get("num_groups", 1), call.shape()
    if len(x) < 2 or groups < 1 or (isinstance(x[1], int) and x[1] % groups):
        raise call.error(f"{x[1] if len(x) > 1 else 0} channels do not divide into {groups} groups")
    return [(x, call.dtype())]


@rule("LayerNormalization")
def _layer_normalization(call: Call) -> list:
    x = call.shape()
    axis = call.axis(call.attributes["axis"], len(x))
    for position in (1, 2):
        if call.given(position) and len(call.broadcast(x, call.shape(position))) != len(x):
            raise call.error(f"input {position} has {call.rank(position)} axes, more than the {len(x)} of its input")
    kept = x[:axis] + [1] * (len(x) - axis)
    return [(x, call.dtype()), (kept, call.dtype()), (kept, call.dtype())]
