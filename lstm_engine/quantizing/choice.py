"""`quantize`: what a caller asks for, checked; layers chosen by what they save and what they change."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ..arguments import choice, finite_number, shown
from ..entry import entry
from ..errors import ArgumentError, ArgumentTypeError, UnsupportedError
from ..graph import Graph
from ..graph.nodes import every_node
from ..graph.quantization import QUANTIZABLE, WeightError, quantization_of, type_of
from ..graph.quantized import QUANTIZED_TYPES
from ..model import Model
from ..types import Inputs, QuantizedType, SupportsArray, WeightType
from .differences import answers, differences
from .layers import Quantizer

Types = dict[str, QuantizedType]            # by name of the layer
AGAIN = "quantising it again would add one error to another; quantise the float model that it was made of"
INSIDE = "whose layers stay float32"
WEIGHT_TYPES: tuple[WeightType, ...] = ("float32", *QUANTIZED_TYPES)


@entry
def quantize(model: Model, to: WeightType, *, layers: Mapping[str, WeightType] | None = None,
             data: SupportsArray | Inputs | list[Any] | None = None, tolerance: float | None = None) -> Model:
    """The model with smaller weights; the given one stays as it is.

    to: the type of the matrices of its recurrent, Dense and Embedding layers; biases and peepholes stay float32.
        Layers that stand in loops stay float32; the report has them, too.
        "int8": with a scale for each output channel; products of integers, the rows of their inputs quantised as they
            come. "int8_weights": the same numbers, multiplied in float32. "bfloat16": the inputs of products too.
            "float16": stored so, multiplied in float32. docs/quantization.md says what each costs and is worth.
    layers: {name of a layer: type}, for layers that shall have another; "float32" leaves one as it is. A layer that is
        of the type already stays too; of int8 and int8_weights, which hold the same numbers, each may become the other.
    data: inputs, as `predict` takes them. The report then says how far every output is from that of the float model.
    tolerance: with data: layers are quantised one after the other, those that save the most bytes first, and each only
        if the largest difference of every output from the float model stays within it.
    Returns a Model; its `quantization` says what became of each layer.
    Raises ArgumentError naming the argument, or the layer and the weight that cannot be of its type (NaN, infinity, a
    number beyond float16, or products that int32 cannot add up), or where no layer keeps to the tolerance;
    ArgumentTypeError; UnsupportedError for layers that are quantised already, or a model that computes in float64.
    """
    graph = _checked_graph(model)
    types = _left(graph, _types(graph, choice(to, "to", WEIGHT_TYPES), layers))
    if tolerance is not None:
        tolerance = finite_number(tolerance, "tolerance")
        if data is None:
            raise ArgumentError("tolerance needs data=, the inputs on which the outputs are compared")
    quantizer = Quantizer(graph)
    if tolerance is None:
        return _reported(model, *quantizer.graph_of(types), data=data)
    return _within(model, quantizer, types, data, tolerance)


def _checked_graph(model: Any) -> Graph:
    if not isinstance(model, Model):
        raise ArgumentTypeError(f"model is a lstm_engine.Model, not {type(model).__name__}; load or convert it first")
    if model.dtype != "float32":
        raise UnsupportedError(f"the model computes in {model.dtype}, and quantised layers in float32: give "
                               "lstm_engine.load(path, dtype='float32')")
    return model.graph


def _types(graph: Graph, to: WeightType, layers: Any) -> Types:
    """The types of the layers that are to be quantised."""
    known = {node.name: node for node in graph.nodes if isinstance(node, QUANTIZABLE)}
    listing = ", ".join(f"{name} ({node.op})" for name, node in known.items()) or "none"
    if layers is not None and not isinstance(layers, Mapping):
        raise ArgumentTypeError(f"layers maps names of layers to types, got {type(layers).__name__}; the layers are: "
                                f"{listing}")
    asked: dict[str, WeightType] = dict.fromkeys(known, to)
    for name, kind in (layers or {}).items():
        if name not in known:
            others = {node.name: node.op for node in graph.nodes}
            what = f"a {others[name]} has no weights to quantise" if name in others else \
                f"it stands in a loop, {INSIDE}" if name in _in_loops(graph) else "the model has no such layer"
            raise ArgumentError(f"layers: {shown(name)}: {what}; those that can be quantised are: {listing}")
        asked[name] = choice(kind, f"layers: the type of {shown(name)}", WEIGHT_TYPES)
    types: Types = {name: kind for name, kind in asked.items() if kind != "float32"}
    if not types:
        inside = f"; {', '.join(_in_loops(graph))} stand in loops, {INSIDE}" if _in_loops(graph) else ""
        raise ArgumentError(f"nothing is left to quantise: the layers that can be are {listing}{inside}")
    return types


def _in_loops(graph: Graph) -> list[str]:
    """The names of layers with weights that a graph has inside loops."""
    outside = {id(node) for node in graph.nodes}
    return [node.name for node in every_node(graph) if isinstance(node, QUANTIZABLE) and id(node) not in outside]


def _left(graph: Graph, types: Types) -> Types:
    """Of the types those that layers do not have already.

    Raises UnsupportedError for a layer of another type; int8 and int8_weights hold the same numbers, and each may
    become the other.
    """
    held = {node.name: kind for node in graph.nodes if (kind := type_of(node)) in QUANTIZED_TYPES}
    others = {name: kind for name, kind in held.items() if types.get(name, kind) != kind
              and not {kind, types[name]} <= {"int8", "int8_weights"}}
    left: Types = {name: kind for name, kind in types.items() if held.get(name) != kind}
    if held and len(others) == len(left):
        report = quantization_of(graph)
        assert report is not None
        raise UnsupportedError(f"the model is quantised already ({report.weight_dtype}): {AGAIN}")
    if others:
        name, kind = next(iter(others.items()))
        raise UnsupportedError(f"layer {shown(name)} is quantised already ({kind}): {AGAIN}, or leave such layers as "
                               f"they are: layers={shown(others)}")
    return left


def _made(model: Model, graph: Graph, errors: dict[str, WeightError]) -> Model:
    made = Model(graph, gemm=model.gemm, limits=model.limits)
    made._report = quantization_of(graph, errors)
    return made


def _reported(model: Model, graph: Graph, errors: dict[str, WeightError], *, data: Any) -> Model:
    made = _made(model, graph, errors)
    if data is not None:
        made._report = quantization_of(graph, errors, differences(answers(model, data), answers(made, data)))
    return made


def _within(model: Model, quantizer: Quantizer, types: Types, data: Any, tolerance: float) -> Model:
    """The model with as many of its layers quantised as keep every output within the tolerance."""
    exact = answers(model, data)
    if not any(array.size for arrays in exact.values() for array in arrays):
        raise ArgumentError("data: the outputs have no numbers for it, so there is nothing that a tolerance could be "
                            "kept on; give inputs of at least one row and step")
    chosen: Types = {}
    best: Model | None = None
    least = math.inf
    for name in _by_what_they_save(quantizer, types):
        tried: Types = {**chosen, name: types[name]}
        graph, errors = quantizer.graph_of(tried)
        made = _made(model, graph, errors)
        found = differences(exact, answers(made, data))
        largest = max((one.largest for one in found), default=0.0)
        if largest <= tolerance:
            chosen, best = tried, made
            made._report = quantization_of(graph, errors, found)
        least = min(least, largest)
    if best is None:
        raise ArgumentError(f"tolerance: no layer can be quantised within {tolerance:g}: the one that changes least "
                            f"changes an output by {least:.3g}")
    return best


def _by_what_they_save(quantizer: Quantizer, types: Types) -> Iterator[str]:
    """Names of layers, those first that save the most bytes; in the order of the graph where they save the same."""
    report = quantization_of(quantizer.graph_of(types)[0])
    assert report is not None
    saved = {layer.name: layer.bytes_before - layer.bytes for layer in report.layers}
    return iter(sorted(types, key=lambda name: -saved[name]))
