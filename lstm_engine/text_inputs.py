"""Texts in place of token ids: read as the model says, before anything else looks at what a caller hands in.

Source of what each setting means: Keras' TextVectorization and StringLookup (Keras 2.15 and 3, layers/preprocessing),
and the operations of TensorFlow under them: strings.lower, regex_replace, split, unicode_split and ngrams, which work
on UTF-8.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ArgumentError, ArgumentTypeError
from .graph import Reading, Value

if TYPE_CHECKING:
    from .plan.bounds import Bounds

_MARKS = string.punctuation.encode()
_MOST_AXES = 64                         # of an array of NumPy's
_SHOWN = 40                             # characters of a text, in messages
_TOKEN = 48                             # bytes of a token of one letter and of its place in a list


class TextInputs:
    """The inputs of a model, of which some say how texts become their ids. bounds: of its calls; None: none."""

    def __init__(self, inputs: tuple[Value, ...], bounds: Bounds | None = None) -> None:
        self._inputs, self._bounds = inputs, bounds

    @classmethod
    def of(cls, inputs: tuple[Value, ...], bounds: Bounds | None = None) -> TextInputs | None:
        """None where no input reads texts."""
        return cls(inputs, bounds) if any(value.reading is not None for value in inputs) else None

    def __call__(self, x: Any, lengths: Any = None) -> Any:
        """What a caller hands in for all inputs, with ids in place of its texts. lengths: that they hand in beside it.

        Raises ArgumentTypeError for a text alone, and for what is of texts in part; ArgumentError for a token that has
        no id, bytes that are no UTF-8, texts of a shape that they cannot have, and lengths beside texts that are split,
        which have their own; LimitError for ids beyond the bounds.
        """
        if isinstance(x, Mapping):
            own = {value.name: value for value in self._inputs}
            return {name: self._read(own[name], given, lengths) if name in own else given for name, given in x.items()}
        if isinstance(x, tuple) and len(x) == len(self._inputs) > 1:
            return tuple(self._read(value, given, lengths) for value, given in zip(self._inputs, x, strict=True))
        return self._read(self._inputs[0], x, lengths) if len(self._inputs) == 1 else x

    def _read(self, value: Value, given: Any, lengths: Any) -> Any:
        reading, what = value.reading, f"input {value.name!r}"
        if reading is None or not _is_text(given):
            return given
        if isinstance(given, (str, bytes)):
            raise ArgumentTypeError(f"{what}: expected a list of texts, got one text; give [{given[:_SHOWN]!r}]")
        if reading.split is None and lengths is None and isinstance(given, list) and any(
                isinstance(item, (list, tuple, np.ndarray)) for item in given):
            return [self._one_by_one(value, reading, _array(item, f"{what}, sequence {number}"))
                    for number, item in enumerate(given)]
        texts = _array(given, what)
        if reading.split is None:
            return self._one_by_one(value, reading, texts)
        if lengths is not None and (not isinstance(lengths, Mapping) or value.name in lengths):
            raise ArgumentError(f"lengths: {what} has texts, which have as many steps as they have tokens; leave "
                                "lengths out, or give ids")
        if texts.ndim == 2 and texts.shape[1] == 1:         # [batch, 1], as Keras takes them, too
            texts = texts[:, 0]
        if texts.ndim != 1:
            raise ArgumentError(f"{what}: expected texts [batch], got {list(texts.shape)}")
        return self._split(value, reading, texts)

    def _one_by_one(self, value: Value, reading: Reading, texts: np.ndarray) -> np.ndarray:
        made = (self._id(value, reading, _cleaned(reading, text)) for text in _utf8(texts, value.name))
        return np.fromiter(made, value.dtype, texts.size).reshape(texts.shape)

    def _split(self, value: Value, reading: Reading, texts: np.ndarray) -> np.ndarray:
        """[batch, time] ids: as many steps as the input has, or as the longest of the texts."""
        steps, rows = value.shape[1], []
        for text in _utf8(texts, value.name):
            if self._bounds is not None:
                self._bounds.check_memory(f"the tokens of a text of input {value.name!r}",
                                          _TOKEN * len(text) * len(reading.ngrams), len(text))
            tokens = _tokens(reading, _cleaned(reading, text))
            if isinstance(steps, int):
                tokens = tokens[:steps]
            elif self._bounds is not None:
                self._bounds.check_steps(value.name, len(tokens))
            rows.append(np.array([self._id(value, reading, token) for token in tokens], value.dtype))
        most = steps if isinstance(steps, int) else max(map(len, rows), default=0)
        if self._bounds is not None:
            given = sum(row.nbytes for row in rows)
            self._bounds.check_memory(f"the ids of input {value.name!r}", len(rows) * most * rows[0].itemsize if rows
                                      else 0, given)
        made = np.full((len(rows), most), reading.blank, value.dtype)
        for row, own in zip(made, rows, strict=True):
            row[:len(own)] = own
        return made

    @staticmethod
    def _id(value: Value, reading: Reading, token: bytes) -> int:
        at = reading.ids.get(token, reading.outside)
        if at is None:
            raise ArgumentError(f"input {value.name!r}: {token.decode()[:_SHOWN]!r} is not in the vocabulary of "
                                f"{len(reading.vocabulary)} tokens, and the model has no id for what is in none")
        return at


def _is_text(given: Any) -> bool:
    """Whether what a caller hands in for one input begins with a text; what is empty before it says nothing."""
    for _ in range(_MOST_AXES):                 # a list may hold itself
        if not isinstance(given, (list, tuple)):
            break
        given = next((item for item in given if not (isinstance(item, (list, tuple)) and not item)), None)
    if isinstance(given, np.ndarray) and given.dtype.kind == "O":
        return not given.size or isinstance(given.flat[0], (str, bytes))
    return isinstance(given, (str, bytes)) or isinstance(given, np.ndarray) and given.dtype.kind in "US"


def _array(given: Any, what: str) -> np.ndarray:
    """Texts as an array of Python objects."""
    try:
        return np.asarray(given, object) if not isinstance(given, np.ndarray) else given.astype(object)
    except ValueError as error:
        raise ArgumentError(f"{what}: not a rectangular array of texts ({error})") from error


def _utf8(texts: np.ndarray, name: str) -> Iterator[bytes]:
    for place, text in enumerate(texts.flat):
        if not isinstance(text, (str, bytes)):
            raise ArgumentTypeError(f"input {name!r}: expected texts, got {type(text).__name__} at place {place} among "
                                    "them")
        try:
            if isinstance(text, str):           # as Python's own types have it, whatever a subclass says
                yield str.encode(text)
            else:
                bytes.decode(text)
                yield b"".join((text,))
        except UnicodeError as error:
            raise ArgumentError(f"input {name!r}: the text at place {place} is not one of UTF-8 ({error})") from None


def _cleaned(reading: Reading, text: bytes) -> bytes:
    if reading.lowercase:
        text = text.lower()                     # bytes: A to Z alone
    return text.translate(None, _MARKS) if reading.punctuation == "drop" else text


def _tokens(reading: Reading, text: bytes) -> list[bytes]:
    words = text.split() if reading.split == "whitespace" else [letter.encode() for letter in text.decode()]
    if reading.ngrams == (1,):
        return words
    return [b" ".join(words[at:at + width]) for width in reading.ngrams for at in range(len(words) - width + 1)]
