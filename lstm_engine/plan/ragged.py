"""What unequal sequences mean to a model: whether it tells padding from data by itself, or padding is part of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..graph import Graph, Pool, Recurrent, Value
from ..operators import infer_shapes
from .axes import Axes


@dataclass(frozen=True)
class Padding:
    """The layers over time, by name: those that a mask or lengths in the model reach, and those that read all steps."""

    masked: tuple[str, ...]
    unmasked: tuple[str, ...]

    @property
    def mask(self) -> str:
        """What the model has for its layers over time: a mask (or lengths) for "all", "some" or "none" of them."""
        return "all" if not self.unmasked else "some" if self.masked else "none"

    @property
    def note(self) -> str:
        """What this means to whoever gives sequences, in a sentence or two."""
        if self.mask == "all":
            return "the model tells padding from data itself, by a mask or lengths that reach every layer over time"
        reach = "no mask is in the model" if self.mask == "none" else \
            f"the model's mask does not reach {_names(self.unmasked)}"
        return (f"{reach}: a list of unequal sequences (or lengths) leaves padding out, an array reads it as data. "
                "If the model was trained on padded sequences, pad them the same way: "
                "le.pad_sequences(x, length=..., side=...)")


def padding_of(graph: Graph, values: Mapping[str, Value] | None = None) -> Padding | None:
    """How a model treats padding in its sequences; None for a model without sequences or without layers over time.

    Read from the graph: Keras' masks (mask_zero, Masking) and ONNX's sequence_lens are inputs of the recurrent nodes.
    """
    values = infer_shapes(graph) if values is None else values
    axes = Axes.of(graph, values)
    times = {axes.time(value.name) for value in graph.inputs if axes.batch_axis(value.name) is not None} - {None, 1}
    if not times or axes.batch == 1:                         # one row, or one step: nothing can be unequal
        return None
    masked: list[str] = []
    unmasked: list[str] = []
    for node in graph.nodes:
        if not isinstance(node, (Recurrent, Pool)):
            continue
        steps = values[node.inputs[0]].shape[1]
        if steps in times or isinstance(steps, str):         # a plain size of another kind: a vector repeated, bands
            lengths, mask = ((*node.inputs, "", "", "", "")[at] for at in (1, 4))
            (masked if lengths or mask else unmasked).append(node.name)
    return Padding(tuple(masked), tuple(unmasked)) if masked or unmasked else None


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
