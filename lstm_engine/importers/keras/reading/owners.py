"""The layers of a model that have arrays of their own, and what these arrays are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ....graph import GRU, LSTM, RNN, Recurrent
from .config import Layer, Tree
from .parts import parts

# Kinds of layers and cells -> the recurrent node that they are.
KINDS: dict[str, type[Recurrent]] = {
    "LSTM": LSTM, "LSTMCell": LSTM, "CuDNNLSTM": LSTM, "GRU": GRU, "GRUCell": GRU, "CuDNNGRU": GRU,
    "SimpleRNN": RNN, "SimpleRNNCell": RNN,
}
# The kernels of layers whose last array is a bias, if they have one.
_SPACE = ("1D", "2D", "3D")
_KERNELS = {"Dense": ("kernel",), "EinsumDense": ("kernel",),
            **{f"{name}{axes}{end}": ("kernel",) for axes in _SPACE
               for name, end in (("Conv", ""), ("Conv", "Transpose"), ("DepthwiseConv", ""))},
            **{f"SeparableConv{axes}": ("depthwise_kernel", "pointwise_kernel") for axes in _SPACE}}


@dataclass(frozen=True)
class Owner:
    """A layer with arrays "<path>/vars/<number>".

    variables: what its arrays are, in Keras' order ("" where only the number is known).
    anchor: what Keras calls it, or the wrapper around it; inside: the names within that wrapper, outermost first;
    around: those of the models around it; cell: its number in a stack of cells.
    """

    path: str
    kind: str
    variables: tuple[str, ...]
    anchor: str
    inside: tuple[str, ...] = ()
    around: tuple[str, ...] = ()
    cell: int | None = None

    def __str__(self) -> str:
        return f"{'/'.join((self.anchor, *self.inside))!r} ({self.kind})"


def owners(tree: Tree, layer: Layer) -> list[Owner]:
    """A layer and all inside it that have arrays, in Keras' order."""
    return list(_owners(tree, layer, layer.name, (), (), None))


def is_frozen(tree: Tree, layer: Layer) -> bool:
    """Whether anything in the configuration of a layer, or of what is inside it, says that it does not train."""
    inside = [*layer.layers, *(inner for inner, _, _ in parts(tree, layer))]
    return layer.config.get("trainable") is False or any(is_frozen(tree, inner) for inner in inside)


def _owners(tree: Tree, layer: Layer, anchor: str, inside: tuple[str, ...], around: tuple[str, ...],
            cell: int | None) -> Iterator[Owner]:
    if layer.is_model:
        for inner in layer.layers:
            yield from _owners(tree, inner, inner.name, (), (*around, layer.name), None)
        return
    held = parts(tree, layer)
    for inner, called, number in held:
        yield from _owners(tree, inner, anchor, (*inside, called), around, cell if number is None else number)
    variables = [] if held else _variables(layer.kind, layer.config)
    if layer.kind == "SpectralNormalization":
        variables = ["vector_u"]
    elif layer.kind == "LayerNormLSTMCell":
        variables = _variables("LSTMCell", layer.config)
    elif layer.kind in ("CRF", "keras_contrib.CRF"):
        own = ["kernel", "chain_kernel", *["bias"] * bool(layer.config.get("use_bias", True))]
        variables = [*(own if layer.kind == "keras_contrib.CRF" else ["chain_kernel"]),
                     *(["left_boundary", "right_boundary"] if layer.config.get("use_boundary", True) else [])]
    if variables:
        yield Owner(layer.path, layer.kind, tuple(variables), anchor, inside, around, cell)


def _variables(kind: str, config: Mapping[str, Any]) -> list[str]:
    bias = ["bias"] if config.get("use_bias", "bias_axes" not in config or config["bias_axes"] is not None) else []
    if kind in KINDS or kind.startswith("ConvLSTM"):
        return ["kernel", "recurrent_kernel", *bias]
    if kind in _KERNELS:
        return [*_KERNELS[kind], *bias]
    if kind == "Embedding":
        return ["embeddings"]
    if kind == "RMSNormalization":
        return ["scale"]
    if kind == "PReLU":
        return ["alpha"]
    if kind in ("Attention", "AdditiveAttention"):
        scale = ["scale"] if config.get("use_scale", kind == "AdditiveAttention") else []
        return [*scale, *(["concat_score_weight"] if config.get("score_mode") == "concat" else [])]
    if kind == "Normalization":
        return ["mean", "variance", "count"] if config.get("mean") is None else []
    if kind in ("BatchNormalization", "LayerNormalization", "GroupNormalization"):
        scale = ["gamma"] if config.get("scale", True) else []
        center = ["beta"] if config.get("center", True) else []
        moving = ["moving_mean", "moving_variance"] if kind == "BatchNormalization" else []
        return [*scale, *center, *moving]
    return []
