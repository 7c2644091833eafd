"""Windows that slide along an axis of a sequence that comes in pieces; see `past`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..graph.nodes import Operator
from .axis_rules import AxisCall
from .past import Work, fills
from .places import Mixes
from .windows import window_pads, windows


def windows_along(call: AxisCall, at: int, kernel: Sequence[int], fill: float = 0.0) -> Work | None:
    """Windows that slide over the axes behind the channels of [batch, channels, ...]."""
    if at == 0:
        return None
    axis, spatial, attributes = at - 2, len(kernel), call.attributes
    if axis < 0:
        raise Mixes
    strides, dilations = windows(attributes, spatial)
    stride = strides[axis]
    reach = (kernel[axis] - 1) * dilations[axis] + 1
    pads = attributes["pads"] or (0,) * (2 * spatial)
    if stride > 1 and (attributes["auto_pad"].startswith("SAME") or attributes.get("ceil_mode")
                       or pads[axis + spatial]):
        raise Mixes(f"takes windows every {stride} steps and pads the end, by what the length of the whole sequence "
                    "needs; with strides it must be padded in front alone, or not at all (padding=\"valid\")")
    # With strides of 1 what "same" adds does not depend on the size.
    before, behind = window_pads(attributes["auto_pad"], pads, reach, reach, 1, axis, spatial)

    def again(first: int, last: int) -> Operator:
        if not before and not behind:
            return call.node
        explicit = [list(ends) for ends in _explicit(call, kernel)]
        explicit[axis] = [0, 0]
        changed = {**call.node.attributes, "auto_pad": "NOTSET",
                   "pads": (*(a for a, _ in explicit), *(b for _, b in explicit))}
        return replace(call.node, attributes=changed)
    return Work(again, fills(before, fill), behind, reach, stride, reads=True,
                instead=f"pad it by {reach - 1} in front alone: padding=\"causal\" in Keras, pads [{reach - 1}, 0] in "
                        f"ONNX, F.pad(x, ({reach - 1}, 0)) before it in torch")


def _explicit(call: AxisCall, kernel: Sequence[int]) -> list[tuple[int, int]]:
    """The pads of all axes as numbers. Raises Mixes where they depend on a size that is not known."""
    attributes, spatial = call.attributes, len(kernel)
    strides, dilations = windows(attributes, spatial)
    found = []
    for i, size in enumerate(call.shapes[0][2:]):
        reach = (kernel[i] - 1) * dilations[i] + 1
        if strides[i] != 1 and attributes["auto_pad"].startswith("SAME") and not isinstance(size, int):
            raise Mixes(f"pads axis {i + 2} by a size that is known only when it runs")
        found.append(window_pads(attributes["auto_pad"], attributes["pads"], size if isinstance(size, int) else reach,
                                 reach, strides[i], i, spatial))
    return found
