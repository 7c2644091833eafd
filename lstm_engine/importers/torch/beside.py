"""What `config.json` says beside the weights of a folder: of which class they are, and the sizes of its layers.

It names a class and never says what its forward computes. What it does say is shown, and held to the weights: two files
that contradict each other are of two models.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import FormatError, UnsupportedError
from ...files import ModelFile
from ...strict_json import parse_object
from ..reading.hugging_face import CONFIG
from ..reading.hugging_face import WEIGHTS as HUGGING_FACE
from ..reading.text_file import read_text
from ..reading.weights import Weights
from .state_dict.layers import Layers, find_layers

MAX_BYTES = 1 << 20
_NAMES = ("model_type", "architectures", "auto_map")
_LAYERS = ("num_layers", "n_layers", "nlayers", "num_hidden_layers", "num_lstm_layers", "lstm_layers",
           "lstm_num_layers", "num_rnn_layers", "rnn_layers", "rnn_num_layers")
_TWO_WAYS = ("bidirectional", "is_bidirectional", "lstm_bidirectional", "rnn_bidirectional")
_KINDS = ("rnn_type", "cell_type", "rnn_cell", "rnn_cell_type")
# What must be the size of an axis of some weight.
_SIZES = ("hidden_size", "hidden_dim", "lstm_hidden_size", "lstm_hidden_dim", "rnn_hidden_size", "rnn_hidden_dim",
          "vocab_size", "num_embeddings", "embedding_dim", "embedding_size")
_OTHERS = ("input_size", "output_size", "num_labels", "proj_size", "batch_first", "dropout")
_KNOWN = (*_NAMES, *_KINDS, *_SIZES, *_LAYERS, *_TWO_WAYS, *_OTHERS)
_SHOWN = 60


@dataclass(frozen=True)
class Config:
    """facts: those of the file's own words that are known here, by name."""

    facts: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return ", ".join(f"{name} {_in_words(value)}" for name, value in self.facts.items())

    @property
    def architecture(self) -> str:
        """The class that it names; "" where it names none."""
        named = self.facts.get("architectures")
        names = [name for name in named if isinstance(name, str)] if isinstance(named, list) else []
        return ", ".join(f"{name:.{_SHOWN}}" for name in names[:3])

    def note(self) -> str:
        """What it says, as one of the assumptions."""
        more = "; its module takes [time, batch, ...], this model [batch, time, ...]" * (
            self.facts.get("batch_first") is False)
        return (f"{CONFIG!r} beside the weights says {self or 'nothing that is known here'}{more}; how its layers are "
                "put together it does not say")


def config_beside(path: ModelFile) -> Config | None:
    """What stands beside a file of a folder of Hugging Face; None where nothing does. Raises FileError, FormatError."""
    if not isinstance(path, Path) or path.name not in HUGGING_FACE or not os.path.lexists(path.with_name(CONFIG)):
        return None
    tree = parse_object(read_text(path.with_name(CONFIG), MAX_BYTES, CONFIG), CONFIG, nonfinite=True)
    return Config({name: tree[name] for name in _KNOWN if tree.get(name) is not None})


def refuse_architecture(config: Config, way: str) -> None:
    """Raise UnsupportedError for a class whose forward is not known."""
    if config.architecture:
        raise UnsupportedError(f"{CONFIG!r} beside it says that these are the weights of {config.architecture} "
                               f"({config}), and what its forward computes no file says. {way}")


def check_config(config: Config, weights: Weights) -> None:
    """Raise FormatError where a config and the weights beside it contradict each other."""
    try:
        layers = find_layers(weights)
    except FormatError:
        return                                  # who reads the weights says what is wrong with them
    if not layers.stacks:
        return
    axes = {size for name in weights.names for size in weights.shape(name)}
    for name, value, found in _contradictions(config.facts, layers, axes):
        raise FormatError(f"{CONFIG!r} beside the weights says {name} {_in_words(value)}, and {found}: they are not of "
                          "one model. With a spec the weights are read as it says (`--spec`, docs/spec.md), and the "
                          "config is not")


def _contradictions(facts: Mapping[str, Any], layers: Layers, axes: set[int]) -> Iterator[tuple[str, Any, str]]:
    stacks = layers.stacks
    shown = "; ".join(map(str, stacks[:4]))
    axes = axes | {layer.hidden for stack in stacks for layer in stack.layers} | {stack.output for stack in stacks}
    counts = {len(stack.layers) for stack in stacks} | {sum(len(stack.layers) for stack in stacks)}
    for name, value in facts.items():
        whole = type(value) is int
        if name in _SIZES and whole and value > 0 and value not in axes:
            yield name, value, f"no weight has an axis of that size; found are {shown}"
        if name in _LAYERS and whole and value > 0 and value not in counts | {len(layers.matrices)}:
            yield name, value, f"found are {shown}"
        if name in _TWO_WAYS and value is True and len(stacks) == 1 and not stacks[0].bidirectional:
            yield name, value, f"found is {shown}"
        if name in _TWO_WAYS and value is False and all(stack.bidirectional for stack in stacks):
            yield name, value, f"found are {shown}"
        if name in _KINDS and isinstance(value, str) and value.upper() in ("LSTM", "GRU") and (
                value.upper() not in {stack.op for stack in stacks}):
            yield name, value, f"found are {shown}"


def _in_words(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return f"{value!r:.{_SHOWN}}"
    return ("true" if value else "false") if isinstance(value, bool) else f"{value!r:.{_SHOWN}}"
