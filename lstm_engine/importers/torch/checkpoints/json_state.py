"""State dicts in JSON: lists of numbers under PyTorch's names, and at times a description of the network beside them.

    {"lstm.weight_ih_l0": [[...], ...], ...}                     RTNeural's examples
    {"model_data": {"model": "SimpleRNN", ...}, "state_dict": {"rec.weight_ih_l0": ..., ...}}
                                                                 CoreAudioML, as GuitarML, Proteus and NeuralPi read it
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from ....errors import FormatError, UnsupportedError
from ...reading.json_arrays import JsonArrays, read_json
from ...reading.weights import Entry
from .checkpoint import is_extra_state, is_weight_name

_STATE, _DATA = "state_dict", "model_data"
# A name as PyTorch's modules have, and behind it a list of numbers, or of such lists.
_WEIGHT = re.compile(rb'"(?:[^"\\]{0,200}\.)?(?:weight|bias)(?:_[ih]h(?:_l[0-9]{1,4}(?:_reverse)?)?)?"\s{0,64}:'
                     rb'\s{0,64}\[[\s\[]{0,512}-?[0-9]')


@dataclass(frozen=True)
class JsonState:
    """What such a file holds. data: its description of the network, if there is one; others: names of what is no array,
    and states: of modules' extra state among it; rounded: whether decimals were no float32."""

    entries: dict[str, Entry]
    data: Mapping[str, Any] | None
    others: tuple[str, ...]
    states: tuple[str, ...]
    rounded: bool


def begins_json_state(head: bytes) -> bool:
    """Whether a file begins as such JSON does."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return text.startswith(b"{") and (b'"model_data"' in head or b'"state_dict"' in head
                                      or _WEIGHT.search(head) is not None)


def read_json_state(file: BinaryIO, size: int) -> JsonState:
    """The arrays of a state dict in JSON. Raises FormatError, UnsupportedError."""
    tree = read_json(file, size)
    data = tree.pop(_DATA, None)
    if data is not None and not isinstance(data, dict):
        raise FormatError(f"{_DATA!r} must be an object, got a {type(data).__name__}")
    arrays = JsonArrays()
    if _STATE in tree:
        state = tree.pop(_STATE)
        if not isinstance(state, dict):
            raise FormatError(f"{_STATE!r} must be an object, got a {type(state).__name__}")
        arrays.add(state)
        arrays.take_numbers(anywhere=True)             # all that stands in a state dict is a tensor
    arrays.add(tree)
    arrays.take_numbers()
    if odd := [name for name in arrays.others if is_weight_name(name)]:
        raise FormatError(f"{odd[0]!r:.100} must be a list of numbers")
    if not arrays.entries:
        raise UnsupportedError("the file holds no arrays; expected lists of numbers under the names of a state dict")
    states = tuple(name for name, value in arrays.others.items()
                   if any(map(is_extra_state, name.split("."))) and value not in (None, ""))
    return JsonState(arrays.entries, data, tuple(arrays.others), states, arrays.rounded)
