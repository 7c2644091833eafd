"""A setting that no mapping looked at, and that is not known to change no number, is refused by name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ....errors import UnsupportedError
from ..reading.config import Layer
from .training import AUGMENTATIONS

# What numbers the arrays began with, and what a loss adds for them, is past when they are in a file. Keras 1 called
# initializers "init", "inner_init", "beta_init".
_OF_TRAINING = re.compile(r"(?:.+_)?(?:initializer|regularizer|constraint|init)")

# Settings of any layer that change no number, each with its reason.
HARMLESS = {
    **dict.fromkeys(("name", "trainable"), "names, and what training would change"),
    **dict.fromkeys(("dtype", "autocast"), "the arrays say what they are; policies are looked at in registry.py"),
    **dict.fromkeys(("batch_shape", "batch_input_shape", "input_shape", "input_dtype", "build_input_shape", "optional"),
                    "of the first layer of a model, read there; elsewhere a note"),
    **dict.fromkeys(("input_dim", "input_length", "output_dim"), "sizes that the arrays and the inputs repeat"),
    **dict.fromkeys(("dropout", "recurrent_dropout", "dropout_W", "dropout_U", "seed"), "act in training only"),
    **dict.fromkeys(("unroll", "implementation", "consume_less"), "how a backend computes, not what"),
    "stateful": "what goes on from call to call is said when the model is converted",
    "unit_forget_bias": "what the bias began with",
    "momentum": "of the moving statistics, in training",
    "synchronized": "of training on several devices",
    "shared_axes": "the shape of alpha says it",
    "sparse": "of gradients; sparse inputs are refused in models.py",
    **dict.fromkeys(("lora_rank", "lora_alpha"), "the kernel is saved with its low-rank part added"),
}
# Settings of one kind of layer that change no number.
HARMLESS_IN = {
    **dict.fromkeys(("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout",
                     "GaussianDropout", "GaussianNoise", "ActivityRegularization"),
                    ("rate", "noise_shape", "stddev", "sigma", "l1", "l2", "data_format", "dim_ordering")),
    "MultiHeadAttention": ("query_shape", "key_shape", "value_shape"),      # the inputs' own
    "BatchNormalization": ("fused", "renorm_momentum", "virtual_batch_size"),
    **dict.fromkeys(("Sequential", "Functional"), ("input_layers", "output_layers", "layers")),
}


def check_all_read(layers: Iterable[Layer]) -> None:
    """Raise UnsupportedError, naming layer and setting, where one is set that no mapping looked at."""
    for layer in layers:
        if layer.kind in AUGMENTATIONS:                  # how images change in training is all that is set of them
            continue
        for key, value in layer.config.items():
            if (key in layer.config.read or key in HARMLESS or key in HARMLESS_IN.get(layer.kind, ())
                    or _OF_TRAINING.fullmatch(key) or _is_off(value)):
                continue
            raise UnsupportedError(f"{layer}: its setting {key!r} is {value!r:.80}, which is not supported; supported: "
                                   "none, or null")


def _is_off(value: Any) -> bool:
    return value is None or value is False or isinstance(value, (str, list, dict)) and not value
