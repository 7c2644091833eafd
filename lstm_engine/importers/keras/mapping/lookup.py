"""IntegerLookup: whole numbers by their places in a vocabulary.

Source: Keras 2.15 and 3, layers/preprocessing/index_lookup.py: places count from behind the mask and the places of what
is in no vocabulary.
"""

from __future__ import annotations

import re
from typing import TypeVar

import numpy as np

from ....errors import FormatError, UnsupportedError
from ....graph.readings import MOST_TOKENS
from ..reading.config import BEHIND, LOOKED_UP, Layer
from .builder import Tensor
from .encoding import encoded
from .registry import Arguments, Context, maps, one

Token = TypeVar("Token", int, str)
_WHOLE = re.compile(r"-?\d{1,19}")


@maps("IntegerLookup")
def integer_lookup(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """[...] whole numbers: their places, int64, or rows of them as CategoryEncoding makes."""
    builder, name = context.builder, layer.where
    layer.config.get("encoding")                    # of texts
    refuse_settings(layer)
    mode = layer.config.get("output_mode", "int")
    outside = layer.get("num_oov_indices", int, 1)
    mask = layer.config.get("mask_token")
    if outside < 1:
        raise UnsupportedError(f"{layer}: num_oov_indices {outside} is not supported, as any value that is not in the "
                               "vocabulary is an error then; supported: 1 and more")
    first = 1 if mask is not None and mode == "int" else 0
    values = vocabulary(context, layer, int)
    special = [*[mask] * first, *[layer.config.get("oov_token", -1)] * outside]
    values = values[len(special):] if values[:len(special)] == special else values
    known = np.array([*values, *([mask] if mask is not None else [])], np.int64)
    if len(np.unique(known)) != len(known):
        raise FormatError(f"{layer}: its vocabulary has a value twice, or its mask_token {mask!r:.40}")
    # Where rows are made of places, one for the mask is in no column.
    places = np.array([*range(first + outside, first + outside + len(values)),
                       *([0 if first else -1] if mask is not None else [])], np.int64)
    x = builder.cast(one(layer, arguments), "int64", name)
    wide = builder.operator("Unsqueeze", f"{name}/wide", [x, np.array([x.rank], np.int64)], (*x.shape, 1))
    pairs = (*x.shape, len(known))
    same = builder.cast(builder.operator("Equal", f"{name}/same", [wide, known], pairs, "bool"), "int32",
                        f"{name}/same")
    at = builder.operator("ArgMax", f"{name}/at", [same], x.shape, "int64", {"axis": -1, "keepdims": 0})
    place = builder.operator("Gather", f"{name}/place", [places, at], x.shape, "int64", {"axis": 0})
    there = builder.operator("ReduceMax", f"{name}/there", [same, np.array([-1], np.int64)], x.shape, "int32",
                             {"keepdims": 0})
    found = builder.cast(there, "bool", f"{name}/there")
    other: Tensor | np.ndarray = np.array(first, np.int64)
    if outside > 1:
        bucket = builder.operator("Mod", f"{name}/bucket", [x, np.array(outside, np.int64)], x.shape)
        other = builder.operator("Add", f"{name}/outside", [bucket, np.array(first, np.int64)], x.shape)
    made = builder.operator("Where", name, [found, place, other], x.shape, "int64")
    return made if mode == "int" else rows(context, layer, made, outside + len(values), mode)


def rows(context: Context, layer: Layer, places: Tensor, depth: int, mode: object) -> Tensor:
    """Rows of places; Keras 3 makes them of int64, whatever the layer's dtype."""
    return encoded(context, layer, places, depth, mode, "int64" if context.version.three else None)


def refuse_settings(layer: Layer) -> None:
    """Raise UnsupportedError for what layers that look values up can do besides; what they were adapted with counts as
    read."""
    for key in ("max_tokens", "vocabulary_dtype", "vocabulary_size"):
        layer.config.get(key)
    for key in ("invert", "pad_to_max_tokens", "idf_weights", "salt", "oov_method"):
        if layer.config.get(key) and (key, layer.config.get(key)) != ("oov_method", "floormod"):
            raise UnsupportedError(f"{layer}: {key} {layer.config.get(key)!r:.80} is not supported; supported: without")


def vocabulary(context: Context, layer: Layer, kind: type[Token]) -> list[Token]:
    """The values that a layer looks up, whole numbers or texts: of the configuration, or of the file's own text."""
    given = layer.config.get("vocabulary")
    paths = (layer.path, f"{layer.path}/_lookup_layer")         # the second: of a TextVectorization
    found = next((context.vocabularies[path] for path in paths if path in context.vocabularies), None)
    if given is None and found is not None:
        if kind is int and found[-1:] == [""]:              # behind the last line break
            found = found[:-1]
        if kind is int and not all(map(_WHOLE.fullmatch, found)):
            raise FormatError(f"{layer}: its vocabulary has a line that is no whole number")
        if kind is str and "\n".join(found).splitlines() != found:
            raise UnsupportedError(f"{layer} is refused: a token of its vocabulary has a line break in it, and its "
                                   f"file keeps one a line; {BEHIND.format(name=layer.name, what='texts')}")
        given = list(map(kind, found))
    if given is None:
        what = "texts" if kind is str else "values"
        raise UnsupportedError(f"{layer} is refused: {LOOKED_UP.format(name=layer.name, what=what)}")
    if not isinstance(given, list) or not 0 < len(given) <= MOST_TOKENS or not all(
            type(value) is kind and not (isinstance(value, int) and abs(value) >= 2**63) for value in given):
        expected = "whole numbers" if kind is int else "texts"
        raise FormatError(f"{layer}: its vocabulary is {given!r:.80}; expected 1 to {MOST_TOKENS} {expected}")
    return given
