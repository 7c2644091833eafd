"""Sequential and Functional models: their inputs, the order of their layers, models inside models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ....errors import FormatError, UnsupportedError
from ....graph import Graph
from ...order import Circle, in_order
from ..reading.calls import MAX_SIZE, Call, Ref, flatten
from ..reading.config import Layer
from .builder import Builder, Tensor
from .registry import OWN, Arguments, Context, apply, dtype_name, dtype_of, maps


def to_graph(context: Context, model: Layer, metadata: dict[str, str]) -> Graph:
    """The graph of a whole model. Raises FormatError and UnsupportedError, naming the layer."""
    make = _sequential_inputs if model.kind == "Sequential" else _functional_inputs
    outputs = run(context, model, list(make(context.builder, model)))
    return context.builder.finish(outputs, metadata)


def run(context: Context, model: Layer, inputs: list[Tensor]) -> list[Tensor]:
    """The outputs of a model, flat."""
    context.spend(len(model.layers))
    return (_run_sequential if model.kind == "Sequential" else _run_functional)(context, model, inputs)


@maps("Sequential", "Functional", mask=OWN)
def nested(context: Context, layer: Layer, arguments: Arguments) -> list[Tensor]:
    """A model used as a layer; masks flow in, through and out."""
    masks = arguments.masks + [None] * (len(arguments.x) - len(arguments.masks))
    inputs = _as_declared(context, layer, arguments.x)
    return run(context, layer, [replace(x, mask=mask) for x, mask in zip(inputs, masks)])


def _as_declared(context: Context, model: Layer, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The inputs of a model inside a model as its own InputLayers declare them, to which Keras casts them."""
    layers = {layer.name: layer for layer in model.layers}
    own = [layers.get(ref.layer) for ref in flatten(model.inputs)] if model.kind == "Functional" else model.layers[:1]
    made = []
    for number, x in enumerate(inputs):
        layer = own[number] if number < len(own) else None
        if layer is not None and layer.kind == "InputLayer" and x.dtype != "string":
            x = context.builder.cast(x, dtype_of(context, layer, _declared(layer)[1]), model.where)
        made.append(x)
    return made


def _sequential_inputs(builder: Builder, model: Layer) -> Iterator[Tensor]:
    if not model.layers:
        raise FormatError(f"{model} has no layers")
    first = model.layers[0]
    shape, dtype = _declared(first)
    while shape is None and first.layers:            # the shape may be known to the first layer of the first model
        first = first.layers[0]
        shape, dtype = _declared(first)
    if shape is None:
        shape = model.config.get("build_input_shape")
    if shape is None and model.layers[0].kind == "Embedding":
        shape = [None, None]
    if shape is None:
        raise UnsupportedError(f"{model}: its input shape is not known; build the model (call it once, or begin it "
                               "with an Input) before it is saved")
    name = model.layers[0].name if model.layers[0].kind == "InputLayer" else "input"
    yield _input(builder, name, model.layers[0], shape, dtype)


def _functional_inputs(builder: Builder, model: Layer) -> Iterator[Tensor]:
    layers = {layer.name: layer for layer in model.layers}
    for ref in flatten(model.inputs):
        layer = layers.get(ref.layer)
        if layer is None:
            raise FormatError(f"input_layers names {ref.layer!r}, which is not a layer of the model")
        shape, dtype = _declared(layer)
        if layer.kind != "InputLayer" or shape is None:
            raise FormatError(f"{layer} is an input of the model; expected an InputLayer with a shape")
        yield _input(builder, layer.name, layer, shape, dtype)


def _declared(layer: Layer) -> tuple[Any, str]:
    """The shape with the batch, and the dtype, that a layer's configuration declares for its input."""
    config = layer.config
    shape = config.get("batch_shape") or config.get("batch_input_shape")
    if shape is None and isinstance(config.get("input_shape"), list):
        shape = [None, *config["input_shape"]]
    dtype = config.get("dtype") if layer.kind == "InputLayer" else config.get("input_dtype")
    return shape, dtype_name(layer, dtype) or "float32"


def _input(builder: Builder, name: str, layer: Layer, shape: Any, dtype: str) -> Tensor:
    if not dtype.startswith(("float", "bfloat", "mixed_", "int", "uint", "bool")) and dtype != "string":
        raise UnsupportedError(f"{layer}: inputs of dtype {dtype!r:.80} are not supported; supported: numbers, and "
                               "texts that StringLookup or TextVectorization read")
    return builder.input(name, _shape(layer, shape), dtype)


def _shape(layer: Layer, shape: Any) -> list[int | None]:
    if layer.config.get("sparse") or layer.config.get("ragged"):
        raise UnsupportedError(f"{layer}: sparse and ragged inputs are not supported; supported: dense arrays")
    if not isinstance(shape, list) or not 1 <= len(shape) <= 8 or not all(
            size is None or type(size) is int and 1 <= size < MAX_SIZE for size in shape):
        raise FormatError(f"{layer}: its input shape is {shape!r:.80}; expected a list of sizes and null")
    return shape


def _run_sequential(context: Context, model: Layer, inputs: list[Tensor]) -> list[Tensor]:
    if len(inputs) != 1:
        raise FormatError(f"{model} is called with {len(inputs)} inputs; expected 1")
    outputs = inputs
    for layer in model.layers:
        if layer.kind == "InputLayer":
            continue
        if len(outputs) != 1:
            raise UnsupportedError(f"{layer} follows a layer of {len(outputs)} outputs in a Sequential model; "
                                   "supported: one output")
        outputs = apply(context, layer, [outputs[0]], {})
    return outputs


def _run_functional(context: Context, model: Layer, inputs: list[Tensor]) -> list[Tensor]:
    refs = list(flatten(model.inputs))
    if len(refs) != len(inputs):
        raise FormatError(f"{model} is called with {len(inputs)} inputs; expected {len(refs)}")
    made: dict[tuple[str, int], list[Tensor]] = {}
    for ref, tensor in zip(refs, inputs):
        made[ref.layer, ref.call] = [tensor]
    for layer, number, call in _ordered(model, _first_calls(context, model)):
        if (layer.name, number) not in made:
            made[layer.name, number] = apply(context, layer, _resolve(call.args, made, layer),
                                             _resolve(call.kwargs, made, layer))
    return list(flatten(_resolve(_output_refs(context, model), made, model)))


def _first_calls(context: Context, model: Layer) -> dict[str, int]:
    """The number of the first call of each layer.

    Keras 2 counts the making of a model inside a model as its call 0, if it has inputs of its own. Every call
    that is kept is read by something, so the least number that is read tells.
    """
    if context.version.three:
        return {}
    inner = {layer.name for layer in model.layers if layer.is_model and layer.calls}
    structures = [[call.args, call.kwargs] for layer in model.layers for call in layer.calls]
    first: dict[str, int] = {}
    for leaf in flatten([structures, model.outputs]):
        if isinstance(leaf, Ref) and leaf.layer in inner:
            first[leaf.layer] = min(leaf.call, first.get(leaf.layer, leaf.call))
    return first


def _output_refs(context: Context, model: Layer) -> Any:
    """The outputs; Keras 3 counts the calls of a Functional model from 1 here, and from 0 elsewhere."""
    functional = {layer.name for layer in model.layers if layer.kind == "Functional"}

    def adjusted(structure: Any) -> Any:
        if isinstance(structure, list):
            return [adjusted(entry) for entry in structure]
        if isinstance(structure, dict):
            return {key: adjusted(entry) for key, entry in structure.items()}
        return replace(structure, call=structure.call - 1) if structure.layer in functional else structure

    return adjusted(model.outputs) if context.version.three else model.outputs


def _resolve(structure: Any, made: dict[tuple[str, int], list[Tensor]], layer: Layer) -> Any:
    """The structure with Tensors in place of Refs."""
    if isinstance(structure, Ref):
        outputs = made.get((structure.layer, structure.call), [])
        if not 0 <= structure.tensor < len(outputs):
            raise FormatError(f"{layer} reads output {structure.tensor} of call {structure.call} of "
                              f"{structure.layer!r}, which does not exist")
        return outputs[structure.tensor]
    if isinstance(structure, list):
        return [_resolve(entry, made, layer) for entry in structure]
    if isinstance(structure, dict):
        return {key: _resolve(entry, made, layer) for key, entry in structure.items()}
    return structure


def _ordered(model: Layer, first: dict[str, int]) -> Iterator[tuple[Layer, int, Call]]:
    """The calls of all layers, each after those it reads from; first: the number of a layer's first call, if not 0.

    Raises FormatError for a cycle.
    """
    calls = {(layer.name, number): (layer, call) for layer in model.layers
             for number, call in enumerate(layer.calls, first.get(layer.name, 0))}

    needs = {key: {(leaf.layer, leaf.call) for leaf in flatten([call.args, call.kwargs]) if isinstance(leaf, Ref)}
             & calls.keys() for key, (_, call) in calls.items()}
    try:
        order = in_order(needs, depth_first=True)
    except Circle as circle:
        raise FormatError(f"the layers of {model} form a cycle through {circle.item[0]!r}") from None
    for name, number in order:
        layer, call = calls[name, number]
        yield layer, number, call
