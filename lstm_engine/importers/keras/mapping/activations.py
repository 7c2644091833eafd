"""Keras' activations, as a configuration names them, in our vocabulary."""

from __future__ import annotations

from typing import Any

from ....errors import FormatError, UnsupportedError
from ....graph.activations import ROW_WISE, Activation
from ..reading.config import Layer, Version
from ..reading.settings import Settings
from .unread import check_all_read

_SIMPLE = {name: name for name in (
    "linear", "sigmoid", "tanh", "relu", "relu6", "elu", "selu", "softplus", "softsign", "gelu", "silu", "exponential",
    "mish", "log_sigmoid", "softmax", "log_softmax", "hard_tanh")}
_SIMPLE |= {"swish": "silu", "hard_silu": "hard_silu", "hard_swish": "hard_silu"}
_CONFIGURED = ("ReLU", "LeakyReLU", "ELU", "ThresholdedReLU", "Softmax")


def supported_activations() -> str:
    return ", ".join(sorted({*_SIMPLE, "hard_sigmoid", "leaky_relu", "celu"}))


def named(name: str, version: Version) -> Activation | None:
    """The activation that Keras calls `name`, None if it is not in our vocabulary."""
    if name in _SIMPLE:
        return Activation.of(_SIMPLE[name])
    if name == "hard_sigmoid":
        # max(0, min(1, 0.2 x + 0.5)) until Keras 3 made it relu6(x + 3) / 6.
        return Activation.of(name, alpha=1 / 6 if version.three else 0.2)
    if name == "leaky_relu":
        return Activation.of(name, alpha=0.2)        # keras.activations.leaky_relu(negative_slope=0.2)
    if name == "celu":
        return Activation.of("elu")                  # the same function at its default alpha of 1
    return None


def activation(layer: Layer, version: Version, key: str = "activation", default: str = "linear",
               cell: bool = False) -> Activation:
    """The activation in one setting of a layer; cell: whether it is applied inside a recurrent cell.

    Raises UnsupportedError, naming the layer, for one that is not supported or is user code.
    """
    spec = layer.config.get(key, default)
    made = _of(layer, spec, version)
    if made is None:
        shown = spec.get("registered_name") or spec.get("config") if isinstance(spec, dict) else spec
        raise UnsupportedError(f"{layer}: {key} {shown!r:.80} is not supported; supported: {supported_activations()}")
    if cell and made.name in ROW_WISE:
        raise UnsupportedError(f"{layer}: {key} {made.name!r} inside a recurrent cell is not supported; supported "
                               "there: activations that work element by element")
    return made


def _of(layer: Layer, spec: Any, version: Version) -> Activation | None:
    if spec is None:
        return Activation.of("linear")
    if isinstance(spec, str):
        return named(spec, version)
    if not isinstance(spec, dict):
        raise FormatError(f"{layer}: an activation is {spec!r:.80}; expected a name or an object")
    module, registered, config = spec.get("module"), spec.get("registered_name"), spec.get("config")
    kind = spec.get("class_name")
    if module is not None and not str(module).startswith(("keras", "tf_keras")) or (
            isinstance(registered, str) and ">" in registered):
        return None
    if kind == "function" and isinstance(config, str):
        return named(config, version)
    if kind in _CONFIGURED and isinstance(config, dict):
        own = Layer(layer.name, kind, Settings(config), layer.where, layer.path)
        made = configured(own)
        check_all_read([own])
        return made
    return named(kind, version) if isinstance(kind, str) and not config else None


def configured(layer: Layer) -> Activation | None:
    """The activation that a layer of class ReLU, LeakyReLU, ELU, ThresholdedReLU or Softmax is.

    None if no single activation of our vocabulary expresses its settings.
    """
    if layer.kind == "LeakyReLU":
        key = "negative_slope" if "negative_slope" in layer.config else "alpha"
        return Activation.of("leaky_relu", alpha=number_of(layer, key, 0.3))
    if layer.kind == "ELU":
        return Activation.of("elu", alpha=number_of(layer, "alpha", 1.0))
    if layer.kind == "ThresholdedReLU":
        return Activation.of("thresholded_relu", alpha=number_of(layer, "theta", 1.0))
    if layer.kind == "Softmax":
        return Activation.of("softmax") if layer.config.get("axis", -1) in (-1, [-1]) else None
    slope, threshold = number_of(layer, "negative_slope", 0.0), number_of(layer, "threshold", 0.0)
    most = layer.config.get("max_value")
    if most is None and threshold == 0:
        return Activation.of("leaky_relu", alpha=slope) if slope else Activation.of("relu")
    if most is None and slope == 0 and threshold > 0:
        return Activation.of("thresholded_relu", alpha=threshold)
    if most == 6 and slope == 0 and threshold == 0:
        return Activation.of("relu6")
    return None


def number_of(layer: Layer, key: str, default: float = 0.0) -> float:
    """A setting that is a number, also as Keras 2 wrote some; `default` where it is not there or null."""
    value = layer.config.get(key)
    if isinstance(value, dict) and isinstance(value.get("value"), (int, float)):
        value = value["value"]                       # Keras 2 wrote some as {"class_name": "__numpy__", ...}
    if value is None:
        return default
    return Layer(layer.name, layer.kind, Settings({key: value}), layer.where, layer.path).number(key, default)
