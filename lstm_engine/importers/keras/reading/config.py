"""The configuration of a Keras model as a tree of layers: what they are, how they are wired, where their arrays are.

Read as data: a class is a name to look up in our own table, never something to import.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ....errors import ArgumentError, FormatError, UnsupportedError
from .calls import MAX_SIZE, Call, calls_of, is_ref, ref_of
from .settings import Settings

MAX_DEPTH = 32
MODELS = ("Sequential", "Functional")
_MODEL_NAMES = {"Sequential": "Sequential", "Functional": "Functional", "Model": "Functional"}
_MODULES = re.compile(r"(?:keras|tf_keras|keras_core|tensorflow\.(?:python\.)?keras)\b")
_OPERATIONS = re.compile(r"(?:keras|keras_core)(?:\.src)?\.(?:ops|operations)\b")
_CLASSES = {"GroupQueryAttention": "GroupedQueryAttention"}     # whose arrays stand under another name than it has
_KERAS1_NAMES = {"inner_activation": "recurrent_activation", "bias": "use_bias", "p": "rate"}
# Classes of other packages, by the names under which these have them, and our table's names for them.
_OTHERS = {"keras_contrib.layers.CRF": "keras_contrib.CRF", "tensorflow_addons.layers.CRF": "CRF",
           "tensorflow_addons.rnn.LayerNormLSTMCell": "LayerNormLSTMCell"}
_ADDONS = ("CRF", "LayerNormLSTMCell")          # of TensorFlow Addons; keras-contrib's CRF has another meaning
_FOREIGN_CODE = {
    "Lambda": "it holds Python code", "TFSMLayer": "it runs a TensorFlow SavedModel",
    "TorchModuleWrapper": "it holds a pickled PyTorch module", "JaxLayer": "it holds JAX code",
    "FlaxLayer": "it holds Flax code",
}
# Layers that are refused for what they are, with what to do; "{name}" is the layer's.
BEHIND = ("convert the model behind it, keras.Model(the input of the layer that follows, model.output), and give it "
          "ids = model.get_layer({name!r})({what}); get_vocabulary() of that layer lists what the ids mean")
LOOKED_UP = f"its file does not keep the vocabulary that it was adapted to: {BEHIND}; a .keras file keeps it"
_HASHED = f"its hashes are TensorFlow's own: {BEHIND.partition(';')[0]}"
_REFUSED = {"Hashing": _HASHED, "HashedCrossing": _HASHED}


@dataclass(frozen=True)
class Version:
    """The Keras that wrote a model: what it changed in the meaning of a configuration."""

    text: str
    numbers: tuple[int, ...]

    @classmethod
    def of(cls, text: str | None) -> Version:
        """From "2.2.4-tf", "3.10.0", ...; None (no version in the file) means Keras 1."""
        text = "1" if text is None else text
        numbers = re.match(r"\d+(\.\d+)*", text)
        if numbers is None or len(text) > 50:
            raise FormatError(f"keras_version is {text[:50]!r}; expected something like 3.10.0")
        return cls(text, tuple(int(number[:9]) for number in numbers[0].split(".")))

    @property
    def tensorflow(self) -> bool:
        """Whether it is the Keras inside TensorFlow, or a later one that took over its behaviour."""
        return self.text.endswith("-tf") or self.numbers >= (2, 4)

    @property
    def three(self) -> bool:
        return self.numbers >= (3,)

    @property
    def merges_heed_masks(self) -> bool:
        """From 3.4 masked values take no part in a merge, and a step of it counts if it does in any input."""
        return self.numbers >= (3, 4)

    @property
    def merges_drop_masks(self) -> bool:
        """In 3.0 to 3.3 what layers of several inputs returned had no mask."""
        return (3,) <= self.numbers < (3, 4)

    @property
    def attention_heeds_masks(self) -> bool:
        """MultiHeadAttention took masks for nothing before 2.10, and handed on none."""
        return self.numbers >= (2, 10)

    @property
    def passes_on_given_masks(self) -> bool:
        """Whether a mask given as an argument goes on to the output; 3.0 to 3.10 passed on the input's own."""
        return not (3,) <= self.numbers < (3, 11)


@dataclass(eq=False)
class Layer:
    """A layer, a cell, or a model inside a model.

    name: as configured; where: with the models around it ("encoder/lstm"); path: the prefix of its arrays
    ("layers/functional/layers/lstm"); layers, inputs, outputs: of a model; shared: the same number at several places
    means one layer.
    """

    name: str
    kind: str
    config: Settings
    where: str
    path: str
    calls: list[Call] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    inputs: Any = None
    outputs: Any = None
    shared: int | None = None

    def __post_init__(self) -> None:
        self.config = self.config if isinstance(self.config, Settings) else Settings(self.config)

    def __str__(self) -> str:
        return f"layer {self.where!r} ({self.kind})"

    @property
    def is_operation(self) -> bool:
        """Whether it is an operation on tensors that stands among the layers: it is called with whatever it takes."""
        return self.kind.startswith("ops.") or self.kind in ("TFOpLambda", "SlicingOpLambda")

    @property
    def is_model(self) -> bool:
        return self.kind in MODELS

    def get(self, key: str, types: type | tuple[type, ...], default: Any = ...) -> Any:
        """A setting, checked for its type. Raises FormatError if it is missing (without a default) or wrong."""
        value = self.config.get(key, default)
        if value is ...:
            raise FormatError(f"{self}: {key!r} is missing in its configuration")
        if value is not default:
            accepted = types if isinstance(types, tuple) else (types,)
            if not isinstance(value, accepted) or isinstance(value, bool) and bool not in accepted:
                expected = " or ".join(accepted_type.__name__ for accepted_type in accepted)
                raise FormatError(f"{self}: {key!r} is {value!r:.80}; expected {expected}")
        return value

    def size(self, key: str) -> int:
        """A setting that is a positive whole number."""
        value: int = self.get(key, int)
        if not 1 <= value < MAX_SIZE:
            raise FormatError(f"{self}: {key!r} is {value!r:.80}; expected a number from 1 to {MAX_SIZE - 1}")
        return value

    def number(self, key: str, default: float) -> float:
        """A setting that is a number."""
        value = self.get(key, (int, float), default)
        try:
            return float(value)
        except OverflowError:
            raise FormatError(f"{self}: {key!r} is {value!r:.80}, which no float can hold") from None


def snake_case(name: str) -> str:
    """How Keras names the group of a class: LSTM lstm, TimeDistributed time_distributed, GRUCell gru_cell."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


class Tree:
    """Builds the tree of layers of one configuration.

    supported: whether a kind has a mapping; `known`: the names for the message about one that has not,
    of its sort.
    """

    def __init__(self, version: Version, supported: Callable[[str], bool], known: Callable[[str], str],
                 custom: Mapping[str, str] | None = None) -> None:
        """custom: what the caller says that classes are which Keras does not have, by the name that the file uses."""
        self._version, self._supported, self._known = version, supported, known
        self._custom: dict[str, str] = {}
        for name, meant in (custom or {}).items():
            self._custom[name] = kind = _OTHERS.get(meant, meant)
            if name in _MODEL_NAMES or supported(name) and name not in _ADDONS:
                raise ArgumentError(f"custom_objects: {name!r} is a class of Keras, which is what it is")
            if not supported(kind) or kind.startswith("ops.") or kind in ("InputLayer", *MODELS):
                raise ArgumentError(f"custom_objects: {name!r} is to be {meant!r}, which is not known; known are "
                                    f"{', '.join(_OTHERS)}, and the layers of Keras: {known('')}")
        self.not_met = set(self._custom)                # names of these that no layer has had so far

    def model(self, entry: Any) -> Layer:
        """The tree of a whole model. Raises UnsupportedError for a class that is not known, FormatError."""
        if isinstance(entry, dict) and isinstance(entry.get("class_name"), str):
            if entry["class_name"] not in _MODEL_NAMES:
                raise UnsupportedError(f"a model of class {entry['class_name']!r} is not supported: its own code says "
                                       "what it computes; supported: Sequential, Functional")
        return self._layer(entry, "", "", 0)

    def child(self, parent: Layer, entry: Any, role: str) -> Layer:
        """A layer inside another: the layer of a wrapper, the cell of an RNN."""
        return self._layer(entry, f"{parent.where}/{role}", f"{parent.path}/{role}", parent.where.count("/") + 1)

    def _layer(self, entry: Any, where: str, path: str, depth: int) -> Layer:
        if depth > MAX_DEPTH:
            raise FormatError(f"layers are nested more than {MAX_DEPTH} deep at {where[:200]!r}")
        if not isinstance(entry, dict) or not isinstance(entry.get("class_name"), str):
            raise FormatError(f"layer {where!r}: expected an object with a class_name, got {entry!r:.80}")
        config = entry.get("config")
        if isinstance(config, list) and entry["class_name"] == "Sequential":
            config = {"layers": config}          # before Keras 2.2
        if not isinstance(config, dict):
            raise FormatError(f"layer {where!r}: its config is {config!r:.80}; expected an object")
        name = entry.get("name") or config.get("name") or ""
        if not isinstance(name, str):
            raise FormatError(f"layer {where!r}: its name is {name!r:.80}; expected a text")
        kind = self._kind(entry, config, where or name)
        if self._version.numbers < (2,):
            renamed = {**_KERAS1_NAMES, "output_dim": "output_dim" if kind == "Embedding" else "units"}
            config = {renamed.get(key, key): value for key, value in config.items()}
        layer = Layer(name, kind, Settings(config), where, path)
        layer.shared = entry.get("shared_object_id") if type(entry.get("shared_object_id")) is int else None
        if layer.is_model:
            self._fill(layer, depth)
        return layer

    def _kind(self, entry: Mapping[str, Any], config: Mapping[str, Any], where: str) -> str:
        """The class as our table names it; operations of keras.ops get the prefix "ops."."""
        name, module, registered = entry["class_name"], entry.get("module"), entry.get("registered_name")
        if name in _FOREIGN_CODE:
            raise UnsupportedError(f"layer {where!r} ({name}) is refused: {_FOREIGN_CODE[name]}, and code from a file "
                                   "is never run")
        if name in _REFUSED:
            why = _REFUSED[name].format(name=where, what="values")
            raise UnsupportedError(f"layer {where!r} ({name}) is refused: {why}")
        for said in (registered, name):
            if isinstance(said, str) and said in self._custom:
                self.not_met.discard(said)
                return self._custom[said]
        ours = module is None or isinstance(module, str) and _MODULES.match(module)
        for known in _ADDONS:
            if f"Addons>{known}" in (registered, name):
                return known
        if not ours or ">" in name or registered not in (None, name) or name in _ADDONS:
            custom = registered if isinstance(registered, str) else f"{module}.{name}" if module else name
            raise UnsupportedError(f"layer {where!r} is of the custom class {custom!r}, which is refused: what it "
                                   f"computes is not in the file; if it is {', '.join(_OTHERS)} or a layer of Keras, "
                                   f"say so: custom_objects={{{custom!r}: 'keras_contrib.layers.CRF'}}; else "
                                   "export the model to ONNX (model.export('m.onnx', "
                                   "format='onnx')), or convert what stands before it, keras.Model(model.inputs, "
                                   f"model.get_layer({where!r}).input); supported: {self._known('')}")
        kind: str = _MODEL_NAMES.get(name, name)
        # Keras 3 writes no modules into .h5 files; only layers say whether they train, operations do not.
        bare = module is None and self._version.three and "trainable" not in config
        if isinstance(module, str) and _OPERATIONS.match(module) or bare and self._supported(f"ops.{name}"):
            kind = f"ops.{name}"
        if not self._supported(kind) and kind not in MODELS:
            raise UnsupportedError(f"layer {where!r} ({name}) is not supported; supported: {self._known(kind)}")
        return kind

    def _fill(self, model: Layer, depth: int) -> None:
        entries = model.config.get("layers")
        if not isinstance(entries, list):
            raise FormatError(f"{model}: 'layers' is {entries!r:.80}; expected a list")
        counts: dict[str, int] = {}
        names: set[str] = set()
        prefix = f"{model.path}/" if model.path else ""
        for entry in entries:
            shown = _shown_name(entry, len(model.layers))
            where = f"{model.where}/{shown}" if model.where else shown
            layer = self._layer(entry, where, "", depth + 1)
            layer.name = layer.name or shown
            if layer.name in names:
                raise FormatError(f"two layers are called {where!r}")
            names.add(layer.name)
            if not layer.kind.startswith("ops."):
                group = snake_case(_CLASSES.get(entry["class_name"], entry["class_name"]))
                index = counts[group] = counts.get(group, -1) + 1
                _set_path(layer, f"{prefix}layers/{group}_{index}" if index else f"{prefix}layers/{group}")
            model.layers.append(layer)
            if model.kind == "Functional":
                layer.calls = calls_of(layer, entry.get("inbound_nodes", []))
        if model.kind == "Functional":
            model.inputs, model.outputs = (_refs(model, key) for key in ("input_layers", "output_layers"))


def _shown_name(entry: Any, number: int) -> str:
    """The name of a layer, or one made of its class; before Keras 2 not every layer had one."""
    if not isinstance(entry, dict):
        return str(number)
    config = entry.get("config")
    name = entry.get("name") or (config.get("name") if isinstance(config, dict) else None)
    return name if isinstance(name, str) else f"{snake_case(str(entry.get('class_name')))}_{number}"


def _set_path(layer: Layer, path: str) -> None:
    """Give a layer its path, and the layers inside it theirs."""
    old = layer.path
    layer.path = path
    for inner in layer.layers:
        if inner.path:
            _set_path(inner, f"{path}/{inner.path[len(old):].lstrip('/')}")


def walk(layer: Layer) -> Iterator[Layer]:
    """All layers inside a model, and those inside these."""
    for inner in layer.layers:
        yield inner
        yield from walk(inner)


def _refs(model: Layer, key: str) -> Any:
    """`input_layers` or `output_layers`: [name, call, tensor], or lists and dicts of them."""
    def convert(value: Any) -> Any:
        if is_ref(value):
            return ref_of(value)
        if isinstance(value, list) and value:
            return [convert(entry) for entry in value]
        if isinstance(value, dict) and value:
            return {name: convert(entry) for name, entry in value.items()}
        raise FormatError(f"{model}: {key!r} holds {value!r:.80}; expected [layer name, call, tensor]")

    return convert(model.config.get(key))
