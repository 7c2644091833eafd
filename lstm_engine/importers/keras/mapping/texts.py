"""StringLookup and TextVectorization: they become the reading of a model's input, whose ids the rest of it takes.

Source: Keras 2.15 and 3, layers/preprocessing/string_lookup.py, text_vectorization.py and index_lookup.py.
"""

from __future__ import annotations

from typing import Any

from ....errors import FormatError, UnsupportedError
from ....graph.nodes import Dim
from ....graph.readings import MOST_NGRAM, MOST_STEPS, SPLITS, Reading, is_utf8
from ..reading.config import Layer
from .builder import Tensor
from .lookup import refuse_settings, rows, vocabulary
from .registry import Arguments, Context, maps, one, show

# standardize -> (lowercase, punctuation)
_STANDARDIZE = {None: (False, "keep"), "lower": (True, "keep"), "strip_punctuation": (False, "drop"),
                "lower_and_strip_punctuation": (True, "drop")}
_CODE = "; what code of one's own does to texts can be done before they are given: save the model without it"


@maps("StringLookup")
def string_lookup(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """[...] texts: their places, int64, or rows of them as CategoryEncoding makes."""
    x = _texts(layer, arguments)
    refuse_settings(layer)
    _check_encoding(layer)
    mask = layer.config.get("mask_token")
    outside = layer.get("num_oov_indices", int, 1)
    if not 0 <= outside <= 1:
        raise UnsupportedError(f"{layer}: num_oov_indices {outside} is not supported, as a hash of TensorFlow's own "
                               "says which of them a text has; supported: 0 and 1")
    if mask not in (None, ""):
        raise UnsupportedError(f"{layer}: mask_token {mask!r:.80} is not supported; supported: '' and none")
    mode = layer.config.get("output_mode", "int")
    reading, depth = _reading(context, layer, mask == "", outside, mode == "int")
    ids = context.builder.read_texts(x, reading, x.shape, str(layer))
    return ids if mode == "int" else rows(context, layer, ids, depth, mode)


@maps("TextVectorization")
def text_vectorization(context: Context, layer: Layer, arguments: Arguments) -> Tensor:
    """[batch] or [batch, 1] texts: [batch, time] places, int64, or a row for each text as CategoryEncoding makes."""
    builder, x = context.builder, _texts(layer, arguments)
    refuse_settings(layer)
    _check_encoding(layer)
    if layer.config.get("ragged"):
        raise UnsupportedError(f"{layer}: ragged=True is not supported; supported: padded ids")
    standardize, split = layer.config.get("standardize", "lower_and_strip_punctuation"), layer.config.get(
        "split", "whitespace")
    if not isinstance(standardize, (str, type(None))) or standardize not in _STANDARDIZE:
        raise UnsupportedError(f"{layer}: standardize={standardize!r:.80} is not supported; supported: "
                               f"{', '.join(map(str, _STANDARDIZE))}{_CODE}")
    if split not in SPLITS:
        raise UnsupportedError(f"{layer}: split={split!r:.80} is not supported; supported: {', '.join(SPLITS)} "
                               f"(for texts that are tokens: StringLookup){_CODE}")
    if not (x.rank == 1 or x.rank == 2 and x.shape[1] == 1):
        raise FormatError(f"{layer}: its input has the shape {show(x.shape)}; expected [batch] or [batch, 1] texts")
    steps = layer.get("output_sequence_length", (int, type(None)), None)
    mode = layer.config.get("output_mode", "int")
    if mode != "int":
        steps = None                                # counted over all tokens of a text
    lowercase, punctuation = _STANDARDIZE[standardize]
    reading, depth = _reading(context, layer, True, 1, mode == "int", lowercase=lowercase, punctuation=punctuation,
                              split=split, ngrams=_ngrams(layer))
    if steps is not None and steps > MOST_STEPS:
        raise UnsupportedError(f"{layer}: output_sequence_length {steps} is not supported; supported: at most "
                               f"{MOST_STEPS}")
    time: Dim = layer.size("output_sequence_length") if steps is not None else builder.symbol()
    ids = builder.read_texts(x, reading, (x.shape[0], time), str(layer))
    return ids if mode == "int" else rows(context, layer, ids, depth, mode)


def _texts(layer: Layer, arguments: Arguments) -> Tensor:
    x = one(layer, arguments)
    if x.dtype != "string":
        raise UnsupportedError(f"{layer} of what is no input of texts is not supported (its input is {x.dtype}); "
                               "supported: an Input(dtype='string') of the model, read by it first")
    return x


def _reading(context: Context, layer: Layer, masked: bool, outside: int, places: bool, **settings: Any
             ) -> tuple[Reading, int]:
    """How a layer reads texts, and how many columns rows of its ids have. places: ids, not such rows, are made, so the
    empty token has one; masked: there is an empty token."""
    first = 1 if masked and places else 0
    special = [*[""] * first, *[layer.config.get("oov_token", "[UNK]")] * outside]
    words = vocabulary(context, layer, str)
    words = words[len(special):] if words[:len(special)] == special else words
    if "" in words:
        raise UnsupportedError(f"{layer}: an empty token in its vocabulary, at place {words.index('')}, is not "
                               "supported; supported: mask_token='', which gives it the first place")
    if len(set(words)) != len(words) or not words:
        raise FormatError(f"{layer}: its vocabulary has a token twice, or none at all")
    if any("\0" in word or not is_utf8(word) for word in words):
        raise FormatError(f"{layer}: its vocabulary has a token with a zero in it, or one that UTF-8 cannot hold")
    blank = 0 if first else -1 if masked else first if outside else None
    if blank is None:
        raise UnsupportedError(f"{layer}: num_oov_indices 0 without a mask_token is not supported, as an empty text "
                               "has no place; supported: mask_token='' or num_oov_indices=1")
    return Reading(tuple(words), first + outside, first if outside else None, blank, **settings), outside + len(words)


def _ngrams(layer: Layer) -> tuple[int, ...]:
    given = layer.config.get("ngrams")
    if given is None:
        return (1,)
    widths = list(range(1, given + 1)) if type(given) is int and 0 < given <= MOST_NGRAM else given
    if not isinstance(widths, list) or not 0 < len(widths) <= MOST_NGRAM or not all(
            type(width) is int and 1 <= width <= MOST_NGRAM for width in widths):
        raise FormatError(f"{layer}: ngrams is {given!r:.80}; expected a number from 1 to {MOST_NGRAM}, or a list of "
                          "them")
    return tuple(widths)


def _check_encoding(layer: Layer) -> None:
    if (encoding := layer.config.get("encoding")) not in (None, "utf-8", "UTF-8"):
        raise UnsupportedError(f"{layer}: encoding {encoding!r:.40} is not supported; supported: utf-8")
