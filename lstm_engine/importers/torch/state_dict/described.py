"""Networks that a description beside their weights names in full: CoreAudioML's SimpleRNN.

Its forward: y = Linear(rnn(x)), and where `skip` is not 0, y + x[..., :skip]. What the description says of sizes must
be what the weights say. Source: CoreAudioML's networks.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....errors import FormatError, UnsupportedError
from ...reading.weights import Weights
from ..ways import HOW
from .layers import Matrix, Stack, find_layers
from .propose import connected, stack_nodes

_REC, _LIN = "rec", "lin"
_KEYS = ("model", "input_size", "skip", "output_size", "unit_type", "num_layers", "hidden_size", "bias_fl")


def spec_of_described(data: Mapping[str, Any], weights: Weights) -> dict[str, Any]:
    """The spec of a network that `data` describes over its weights; its "notes" are what it assumes.

    Raises UnsupportedError for a description of another network, FormatError for one that contradicts the weights.
    """
    if data.get("model") != "SimpleRNN":
        raise UnsupportedError(f"'model_data' describes the network {data.get('model')!r:.100}; read is 'SimpleRNN', a "
                               f"recurrent layer and a linear one. To convert it, {HOW}")
    if unknown := [key for key in data if key not in _KEYS]:
        raise UnsupportedError(f"'model_data' says {unknown[0]!r:.100}, which is not known; known: {', '.join(_KEYS)}")
    layers = find_layers(weights)
    rec = next((stack for stack in layers.stacks if stack.path == _REC), None)
    lin = next((matrix for matrix in layers.matrices if matrix.path == _LIN), None)
    if rec is None or lin is None or layers.rest or len(layers.parts) != 2 or rec.cell or rec.bidirectional:
        raise FormatError(f"a SimpleRNN has the layers {_REC!r} and {_LIN!r}; found: {layers}"
                          f"{f'; and {weights.describe(layers.rest)}' if layers.rest else ''}")
    _check(data, rec, lin)
    skip = data.get("skip", 0)
    if type(skip) is not int or not 0 <= skip <= rec.features:
        raise FormatError(f"'model_data': skip must be a number from 0 to {rec.features} (channels of the input), got "
                          f"{skip!r:.50}")
    if skip > 1 and skip != lin.shape[0] or skip and lin.shape[0] < skip:
        raise FormatError(f"'model_data': skip adds {skip} channels of the input to {lin.shape[0]} of the output")
    nodes = stack_nodes(rec, "tanh")
    nodes.append({"op": "Dense", "name": _LIN, "torch": _LIN, "activation": "linear"})
    inputs = {"name": "input", "shape": ["batch", "time", rec.features], "dtype": "float32"}
    spec = connected([inputs], nodes)
    if skip:
        spec = _skipped(spec, skip, rec.features)
    said = f"is CoreAudioML's SimpleRNN: {rec.op} {_REC!r}, linear {_LIN!r}" + (
        f", and {skip} channel(s) of the input added" if skip else "")
    return spec | {"notes": [f"the network {said}, as 'model_data' says and nothing else in the file does",
                             "sequences are batch first: [batch, time, features]",
                             "every sequence begins with a zero state"]}


def _check(data: Mapping[str, Any], rec: Stack, lin: Matrix) -> None:
    """Raise FormatError where a fact of the description is another than the weights'."""
    has = {"input_size": rec.features, "output_size": lin.shape[0], "unit_type": rec.op,
           "num_layers": len(rec.layers), "hidden_size": rec.output, "bias_fl": lin.bias}
    for key, value in has.items():
        told = data.get(key, value)
        # bias_fl is True, 1, or in one fork whether any bias is other than 0.
        if key == "bias_fl" and not told and lin.bias:
            continue
        if type(told) not in (type(value), int) or told != value:
            raise FormatError(f"'model_data' says {key} {told!r:.50}, the weights {value!r}")
    if lin.shape[1] != rec.output:
        raise FormatError(f"{_LIN!r} reads {lin.shape[1]} features, {_REC!r} gives {rec.output}")
    if rec.op == "RNN":
        raise UnsupportedError("a SimpleRNN of the unit type RNN can have tanh or relu inside, which the file does not "
                               f"say. To convert it, {HOW}")


def _skipped(spec: dict[str, Any], skip: int, features: int) -> dict[str, Any]:
    """The spec with the first channels of its input added to its output."""
    nodes = spec["nodes"]
    nodes[-1]["outputs"] = ["linear"]
    added = "input"
    if skip < features:
        numbers = {str(place): {"value": [number], "dtype": "int64"} for place, number in enumerate((0, skip, 2), 1)}
        nodes.append({"op": "Operator", "name": "skip", "op_type": "Slice", "inputs": ["input", "", "", ""],
                      "constants": numbers, "outputs": ["skipped"]})
        added = "skipped"
    nodes.append({"op": "Operator", "name": "sum", "op_type": "Add", "inputs": ["linear", added],
                  "outputs": ["output"]})
    return spec | {"outputs": ["output"]}
