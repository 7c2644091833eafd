"""Neural Amp Modeler's `.nam` files of the architecture LSTM: one list of numbers, which the sizes beside it cut.

For each layer the matrix [4 H, I + H] over x and h, its gates as PyTorch has them, one bias, and the states h and c
that it starts from; then the linear layer at the end. The file's states are those after a second of silence, and they
are what a sequence begins with here too.

Source of the layout: neural-amp-modeler's nam/models/recurrent.py (_export_weights).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import FormatError, UnsupportedError
from ...graph.gates import TORCH_LSTM
from ..reading.json_arrays import JsonArrays
from ..reading.weights import Weights

MAX_LAYERS = 64
_WORDS = (b'"architecture"', b'"config"', b'"version"')
_TOP = ("version", "architecture", "config", "weights", "sample_rate", "metadata")
_SIZES = ("input_size", "hidden_size", "num_layers")
_NAME = "weights"


def begins_nam(head: bytes) -> bool:
    """Whether a file begins as a `.nam` file does."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return text.startswith(b"{") and all(word in head for word in _WORDS)


def spec_of_nam(tree: Mapping[str, Any]) -> tuple[dict[str, Any], Weights]:
    """The spec of such a file, and its arrays. Raises FormatError, UnsupportedError naming what is not read."""
    if tree.get("architecture") != "LSTM":
        raise UnsupportedError(f"a model of Neural Amp Modeler of the architecture {tree.get('architecture')!r:.50}; "
                               "read is 'LSTM'. Convert what the network computes: torch.export.export")
    if unknown := [key for key in tree if key not in _TOP]:
        raise UnsupportedError(f"Neural Amp Modeler's JSON says {unknown[0]!r:.100}, which is not known; known: "
                               f"{', '.join(_TOP)}")
    config = tree.get("config")
    if not isinstance(config, dict) or set(config) != set(_SIZES):
        raise UnsupportedError(f"\"config\" must say {', '.join(_SIZES)} and nothing else, got {config!r:.200}")
    for key in _SIZES:
        most = MAX_LAYERS if key == "num_layers" else 1 << 16
        if type(config[key]) is not int or not 1 <= config[key] <= most:
            raise FormatError(f"\"config\": {key} must be a number from 1 to {most}, got {config[key]!r:.50}")
    inputs, hidden, layers = (config[key] for key in _SIZES)
    arrays = JsonArrays()
    arrays.take(_NAME, tree.get("weights"))
    widths = [inputs] + [hidden] * (layers - 1)
    needed = sum(4 * hidden * (width + hidden) + 6 * hidden for width in widths) + hidden + 1
    if arrays.entries[_NAME].shape != (needed,):
        raise FormatError(f"\"weights\": {layers} layer(s) of {hidden} units over {inputs} input(s) need {needed} "
                          f"numbers, got {list(arrays.entries[_NAME].shape)}")
    return _spec(inputs, hidden, layers), Weights(arrays.entries)


class _Cutter:
    """Takes the list apart, from its beginning on."""

    def __init__(self) -> None:
        self._at = 0

    def __call__(self, *shape: int) -> dict[str, Any]:
        size = 1
        for each in shape:
            size *= each
        start, self._at = self._at, self._at + size
        return {"reshape": {"slice": _NAME, "start": start, "stop": self._at}, "shape": list(shape)}


def _spec(inputs: int, hidden: int, layers: int) -> dict[str, Any]:
    cut = _Cutter()
    nodes: list[dict[str, Any]] = [
        {"op": "Operator", "name": "sizes", "op_type": "Shape", "attributes": {"start": 0, "end": 1},
         "inputs": ["input"], "outputs": ["rows"]},
        {"op": "Operator", "name": "state_sizes", "op_type": "Concat", "attributes": {"axis": 0},
         "inputs": ["rows", ""], "constants": {"1": {"value": [hidden], "dtype": "int64"}}, "outputs": ["of_states"]}]
    value = "input"
    for layer in range(layers):
        width = hidden if layer else inputs
        matrix, bias = cut(4 * hidden, width + hidden), cut(4 * hidden)
        for state in ("h", "c"):
            nodes.append({"op": "Operator", "name": f"{state}{layer}", "op_type": "Expand", "inputs": ["", "of_states"],
                          "constants": {"0": cut(1, hidden)}, "outputs": [f"{state}{layer}"]})
        part = {"slice": matrix, "axis": 1}
        nodes.append({"op": "LSTM", "name": f"lstm{layer}", "inputs": [value, "", f"h{layer}", f"c{layer}"],
                      "W": [{"tensor": {**part, "stop": width}, "gates": TORCH_LSTM}],
                      "R": [{"tensor": {**part, "start": width}, "gates": TORCH_LSTM}],
                      "B": [{"concat": [{"tensor": bias, "gates": TORCH_LSTM}, {"zeros": 4 * hidden}]}]})
        value = f"lstm{layer}"
    nodes.append({"op": "Dense", "name": "head", "inputs": [value], "kernel": cut(hidden, 1), "bias": cut(1),
                  "activation": "linear"})
    return {"inputs": [{"name": "input", "shape": ["batch", "time", inputs], "dtype": "float32"}], "nodes": nodes}
