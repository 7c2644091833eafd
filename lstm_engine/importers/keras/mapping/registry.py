"""What the layers of a Keras model mean: the registry of mappings, and how a layer is applied.

A mapping is a function (context, layer, arguments) -> outputs, registered for the class names it handles. Masks
travel beside the tensors as Keras lets them: a layer is handed the mask of its input, and passes it on, drops it
or makes its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from ....errors import FormatError, UnsupportedError
from ....graph import DTYPES
from ....graph.nodes import Dim
from ..reading.calls import flatten
from ..reading.config import Layer, Tree, Version
from ..reading.settings import Settings
from .builder import Builder, Tensor
from .training import refuse_training
from .weights import Weights

_OPERANDS = ("x", "x1", "x2", "xs", "inputs", "arrays")      # what keras.ops calls tensors


@dataclass
class Arguments:
    """What a layer is called with.

    x: its first argument, flat; states: initial states; masks: what Keras hands the layer, one for each of x;
    previous: the mask that goes on to the output. kwargs: of an operation as they were given, of a layer what else its
    `call` takes; args: of operations alone; read: the positions and keywords that were looked at.
    """

    x: list[Tensor]
    states: list[Tensor] = field(default_factory=list)
    masks: list[Tensor | None] = field(default_factory=list)
    previous: Tensor | None = None
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    read: set[int | str] = field(default_factory=lambda: {0, *_OPERANDS})

    @property
    def mask(self) -> Tensor | None:
        """The first mask."""
        return self.masks[0] if self.masks else None


    def setting(self, layer: Layer, key: str, position: int, default: Any = None) -> Any:
        """A setting of an operation: Keras keeps it in the configuration, or in the call."""
        self.read |= {key, position}
        if key in layer.config:
            return layer.config[key]
        if key in self.kwargs:
            return self.kwargs[key]
        return self.args[position] if position < len(self.args) else default

    def check_all_read(self, layer: Layer) -> None:
        """Raise UnsupportedError for an argument of an operation that its mapping did not look at."""
        given: dict[int | str, Any] = dict([*enumerate(self.args), *self.kwargs.items()])
        odd = [key for key, value in given.items() if key not in self.read and value is not None and value is not False]
        if odd:
            shown = ", ".join(f"{key if isinstance(key, str) else ''} {given[key]!r:.80}".strip() for key in odd)
            raise UnsupportedError(f"{layer} is called with {shown}, which is not supported; supported: its other "
                                   "arguments")


MAX_WORK = 100_000


@dataclass
class Context:
    """All that a mapping works with."""

    builder: Builder
    weights: Weights
    version: Version
    tree: Tree
    cache: dict[str, Any] = field(default_factory=dict)     # what was made of the arrays at a path
    work: int = 0                                           # layers looked at so far, each time counted
    columns: int = 0                                        # of all rows of categories, which are constants
    children: dict[tuple[int, str], Layer] = field(default_factory=dict)
    applied: dict[int, Layer] = field(default_factory=dict)  # by id, every layer that became part of the graph
    settings: dict[str, Settings] = field(default_factory=dict)     # of what is inside wrappers, by its path
    moved: dict[str, str] = field(default_factory=dict)     # where arrays of what is inside wrappers stand, by its path
    backend: str = ""                                       # what ran the model ("torch"); "" where nothing says it
    vocabularies: dict[str, list[str]] = field(default_factory=dict)    # of layers that look values up, by path
    by_backend: dict[str, None] = field(default_factory=dict)   # names of layers that compute something else on PyTorch

    def spend(self, count: int) -> None:
        """Count work done; raise UnsupportedError when models inside models have multiplied it beyond reason."""
        self.work += count
        if self.work > MAX_WORK:
            raise UnsupportedError(f"the model has more than {MAX_WORK} layers, those used many times counted "
                                   "each time")

    def child(self, parent: Layer, entry: Any, role: str) -> Layer:
        """The layer inside a wrapper, made once. Of a wrapper in several models what was read of it counts in all."""
        key = (id(parent), role)
        if key not in self.children:
            self.children[key] = child = self.tree.child(parent, entry, role)
            child.path = self.moved.get(child.path, child.path)
            child.config = self.settings.setdefault(child.path, child.config)
            self.applied[id(child)] = child
        return self.children[key]


Mapping_ = Callable[[Context, Layer, Arguments], "Tensor | list[Tensor]"]
_Function = TypeVar("_Function", bound=Mapping_)
KEEP, KEEP_FROM_3, DROP, OWN = "keep", "keep from 3", "drop", "own"
_TABLE: dict[str, tuple[Mapping_, str, tuple[str, ...]]] = {}


def maps(*kinds: str, mask: str = DROP, call: tuple[str, ...] = ()) -> Callable[[_Function], _Function]:
    """Register a mapping. mask: its output carries the input's mask (KEEP; in Keras 3 alone KEEP_FROM_3), none (DROP),
    or what it sets (OWN).

    call: what the layer's own `call` takes behind its input and mask, in order; the mapping asks for each by `setting`.
    """
    def register(function: _Function) -> _Function:
        for kind in kinds:
            _TABLE[kind] = (function, mask, call)
        return function
    return register


def supported(kind: str) -> bool:
    return kind in _TABLE


def kinds() -> frozenset[str]:
    """The kinds that have a mapping."""
    return frozenset(_TABLE)


def mask_rule(kind: str) -> str:
    """What a kind does to a mask, as `maps` has it."""
    return _TABLE[kind][1]


def known_layers(kind: str = "") -> str:
    """The supported classes, for messages; the operations of keras.ops, if `kind` is one."""
    if kind.startswith("ops."):
        return ", ".join(sorted(known.removeprefix("ops.") for known in _TABLE if known.startswith("ops.")))
    return ", ".join(sorted({*(kind for kind in _TABLE if "." not in kind), "Sequential", "Functional"}))


TAKE_ARRAYS = ("ops.Take",)                     # it asks what an array is for
TAKE_TEXTS = ("StringLookup", "TextVectorization", "InputLayer", "Sequential", "Functional")
_FIRST = ("inputs", "sequences", "query")        # what Keras calls the first argument of a layer's `call`
# Only these take initial states.
RECURRENT = ("LSTM", "GRU", "SimpleRNN", "RNN", "CuDNNLSTM", "CuDNNGRU", "Bidirectional", "ConvLSTM1D", "ConvLSTM2D",
             "ConvLSTM3D")
# The layers whose own `call` has an argument "mask".
TAKE_MASKS = (*RECURRENT, "Softmax", "TimeDistributed", "GlobalAveragePooling1D", "GlobalAvgPool1D", "Sequential",
              "Functional", "BatchNormalization", "Attention", "AdditiveAttention")


def apply(context: Context, layer: Layer, args: list[Any], kwargs: dict[str, Any]) -> list[Tensor]:
    """The outputs of one call of a layer; args and kwargs hold Tensors where the configuration held Refs.

    Raises UnsupportedError and FormatError, naming the layer.
    """
    function, mask_rule, _ = _TABLE[layer.kind]
    context.spend(1)
    context.applied[id(layer)] = layer
    refuse_texts(layer, args, kwargs)
    if layer.kind not in TAKE_ARRAYS:
        args, kwargs = (_with_constants(context, layer, structure) for structure in (args, kwargs))
    given = [leaf for leaf in flatten([args, kwargs]) if isinstance(leaf, Tensor)]
    if any(leaf.mask is not None and leaf.mask.rank < 2 for leaf in given):
        raise UnsupportedError(f"{layer} behind a layer that hands on a mask of rows (the CRF of keras-contrib) is not "
                               "supported; supported: such a layer as the last one")
    if layer.is_operation:
        if not given:
            raise FormatError(f"{layer} is called without a tensor")
        arguments = Arguments(given, args=args, kwargs=kwargs)
        made = function(context, layer, arguments)
        arguments.check_all_read(layer)
        return _listed(made) if mask_rule == OWN else [replace(tensor, mask=None) for tensor in _listed(made)]
    arguments = _arguments(context, layer, args, kwargs)
    outputs = _listed(function(context, layer, arguments))
    arguments.check_all_read(layer)
    if mask_rule == OWN:
        return outputs
    kept = mask_rule == KEEP or mask_rule == KEEP_FROM_3 and context.version.three
    return [replace(tensor, mask=arguments.previous if kept else None) for tensor in outputs]


def _with_constants(context: Context, layer: Layer, structure: Any) -> Any:
    """The arguments of a call, arrays among them as values of the graph."""
    if isinstance(structure, np.ndarray):
        return context.builder.constant(f"{layer.where}/constant", structure)
    if isinstance(structure, list):
        return [_with_constants(context, layer, entry) for entry in structure]
    if isinstance(structure, dict):
        return {key: _with_constants(context, layer, entry) for key, entry in structure.items()}
    return structure


def refuse_texts(layer: Layer, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Raise UnsupportedError for a layer that does something to texts; what reads them first is the input's."""
    texts = [leaf for leaf in flatten([args, kwargs]) if isinstance(leaf, Tensor) and leaf.dtype == "string"]
    if texts and layer.kind not in TAKE_TEXTS:
        raise UnsupportedError(f"{layer} of the texts of input {texts[0].name!r} is not supported; supported: "
                               "StringLookup or TextVectorization right behind an Input(dtype='string'); what else is "
                               "done to texts can be done before they are given: save the model without it")


def _listed(made: Tensor | list[Tensor]) -> list[Tensor]:
    return [made] if isinstance(made, Tensor) else made


def _arguments(context: Context, layer: Layer, args: list[Any], kwargs: dict[str, Any]) -> Arguments:
    """Sort the arguments of a call as Keras' `call(inputs, initial_state, mask, training)` would."""
    check_plain_dtype(layer)
    further = _TABLE[layer.kind][2]
    left = {**dict(zip(further, args[1:])), **kwargs}
    args = args[:1] + args[1 + len(further):]
    training = left.pop("training", None)
    if not isinstance(training, (bool, int, type(None))):
        raise UnsupportedError(f"{layer} is called with training={training!r:.80}; supported: true, false, or none")
    if training:
        refuse_training(context.tree, context.version, layer)
    named = {key: left.pop(key) for key in further if key in left and key != "mask"}
    explicit = list(flatten(left.pop("mask", None)))
    explicit = [] if explicit == [None] else explicit
    states = left.pop("initial_state", None) if layer.kind in RECURRENT else None
    states = [] if states is None else list(flatten(states))
    positional = list(args)
    first = positional.pop(0) if positional else next((left.pop(key) for key in _FIRST if key in left), None)
    if positional and layer.kind in RECURRENT and not states:
        given = positional.pop(0)
        states = [] if given is None else list(flatten(given))
    odd = [leaf for leaf in flatten([positional, list(left.values())]) if leaf is not None and leaf is not False]
    if odd:
        raise UnsupportedError(f"{layer} is called with the arguments {', '.join(map(str, left)) or 'beyond its input'}"
                               ", which are not supported; supported: its input, initial_state, mask")
    x = list(flatten(first))
    if layer.kind in RECURRENT and len(x) > 1:
        # Keras 2 passes the initial states as further inputs.
        x, states = x[:1], states + x[1:]
    if not x or not all(isinstance(leaf, Tensor) for leaf in x + states):
        raise FormatError(f"{layer} is called with {first!r:.80}; expected tensors")
    if explicit and (layer.kind not in TAKE_MASKS or len(explicit) != len(x)
                     or not all(isinstance(leaf, (Tensor, type(None))) for leaf in explicit)):
        raise UnsupportedError(f"{layer} is called with {len(explicit)} masks for {len(x)} inputs; supported: one mask "
                               f"for each input of {', '.join(TAKE_MASKS)}")
    if any(mask.dtype != "bool" or mask.rank < 2 for mask in explicit if mask is not None):
        shown = " and ".join(f"{mask.dtype} {show(mask.shape)}" for mask in explicit if mask is not None)
        raise UnsupportedError(f"{layer} is called with the mask {shown}; supported: bool [batch, time, ...]")
    if explicit:
        masks: list[Tensor | None] = list(explicit)
    elif states and context.version.three:
        # Keras 3 hands over the input's mask only where the input is the one tensor argument.
        masks = [None] * len(x)
    else:
        masks = [tensor.mask for tensor in x]
    x, states = ([_autocast(context, layer, tensor) for tensor in tensors] for tensors in (x, states))
    named = {key: _autocast(context, layer, value) if isinstance(value, Tensor) else value
             for key, value in named.items()}
    previous = next((tensor.mask for tensor in x if tensor.mask), None)
    if explicit and context.version.passes_on_given_masks:
        previous = next((mask for mask in explicit if mask), None)
    return Arguments(x, states, masks, previous, kwargs=named)


def _autocast(context: Context, layer: Layer, x: Tensor) -> Tensor:
    """A floating-point input in the dtype that the layer computes in, to which Keras casts it before the layer runs."""
    if not x.dtype.startswith("float") or layer.is_model or layer.kind in ("Embedding", "InputLayer"):
        return x
    return context.builder.cast(x, float_type_of(context, layer), layer.where)


def float_type_of(context: Context, layer: Layer) -> str:
    """The floating-point type in which a layer computes."""
    return "float64" if policy_name(layer) == "float64" else context.builder.float_type


def dtype_of(context: Context, layer: Layer, dtype: Any) -> str:
    """What numbers of a dtype that Keras names are here: floats narrower than float64 as those of the weights.

    Raises UnsupportedError for a dtype that is not known.
    """
    if isinstance(dtype, str) and dtype.startswith(("float", "bfloat", "mixed_")):
        return "float64" if dtype == "float64" else context.builder.float_type
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise UnsupportedError(f"{layer}: dtype {dtype!r:.80} is not supported; supported: {', '.join(DTYPES)}")
    return dtype


def policy_name(layer: Layer) -> str:
    """What a layer's configuration says of its dtype: "float32", "mixed_float16", ...; "" where it says nothing."""
    return dtype_name(layer, layer.config.get("dtype"))


def dtype_name(layer: Layer, dtype: Any) -> str:
    """The name of a dtype, or of the policy that an object describes. Raises FormatError for an object without one."""
    if isinstance(dtype, dict):
        config = dtype.get("config")
        if not isinstance(config, (dict, type(None))):
            raise FormatError(f"{layer}: the config of its dtype policy is {config!r:.80}; expected an object")
        dtype = (config or {}).get("name")
    return dtype if isinstance(dtype, str) else ""


def check_plain_dtype(layer: Layer) -> None:
    """Refuse quantized dtype policies."""
    policy = layer.config.get("dtype")
    if isinstance(policy, dict) and policy.get("class_name") not in ("DTypePolicy", "FloatDTypePolicy", "Policy", None):
        raise UnsupportedError(
            f"{layer} is quantised by Keras (dtype policy {policy['class_name']!r:.80}), which is not supported; "
            "supported: the model as it was before model.quantize(...), then le.quantize(model) here; float32, "
            "float64, and float16, bfloat16 and mixed policies, which are widened")


def check_width(context: Context, layer: Layer, operands: Sequence[Tensor]) -> None:
    """Raise UnsupportedError for whole numbers that may wrap in Keras, where they are narrower than they are here."""
    narrow = context.builder.narrow
    dtypes = [x.dtype for x in operands]
    if narrow and any("int" in dtype for dtype in dtypes) and not any("float" in dtype for dtype in dtypes):
        raise UnsupportedError(f"{layer} of whole numbers is not supported in a model whose input {narrow} is neither "
                               "int32 nor int64: they wrap; supported: int32 and int64 inputs, or a cast to float32 "
                               "first")


def promoted(context: Context, layer: Layer, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The inputs of a product in one dtype, whole numbers as they are. Raises UnsupportedError for masks alone."""
    made = context.builder.in_dtype_of_all(inputs, layer.where)
    if made[0].dtype == "bool":
        raise UnsupportedError(f"{layer} of masks is not supported; supported: masks that are cast to numbers first")
    check_width(context, layer, made)
    return made


def one(layer: Layer, arguments: Arguments, rank: int | None = None) -> Tensor:
    """The single input of a layer, its rank checked."""
    if len(arguments.x) != 1:
        raise FormatError(f"{layer} is called with {len(arguments.x)} inputs; expected 1")
    if rank is not None and arguments.x[0].rank != rank:
        raise FormatError(f"{layer}: its input has the shape {show(arguments.x[0].shape)}; expected {rank} dimensions")
    return arguments.x[0]


def floats(context: Context, layer: Layer, arguments: Arguments, rank: int | None = None) -> Tensor:
    """The single input of a layer, as floating-point numbers of the type in which the layer computes.

    Raises UnsupportedError for a layer that computes in whole numbers.
    """
    policy = policy_name(layer)
    if policy.startswith(("int", "uint", "bool")):
        raise UnsupportedError(f"{layer} that computes in {policy:.80} is not supported; supported: a floating-point "
                               "dtype")
    x = one(layer, arguments, rank)
    return x if x.dtype.startswith("float") else context.builder.cast(x, float_type_of(context, layer), layer.where)


def show(shape: tuple[Dim, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"
