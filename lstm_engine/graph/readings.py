"""How texts become the token ids of an input: cleaned, split, looked up in a vocabulary that is part of the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import GraphError

SPLITS = ("whitespace", "character")
MOST_TOKENS = 1 << 20
MOST_NGRAM = 64
MOST_STEPS = 1 << 16


def is_utf8(text: str) -> bool:
    """False for a text with half of a surrogate pair, which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, repr=False)
class Reading:
    """Whoever gives texts in place of the ids of an input has them read so.

    vocabulary: tokens in the order of their ids, which count from `first`. outside: the id of a token that is not in
    it; None: such a token is an error. blank: the id of an empty token, and of what a text lacks to the steps of the
    input. lowercase: A to Z are made small, no other letters (as TensorFlow does). punctuation: "drop" takes the 32
    marks of ASCII out. split: "whitespace" (runs of ASCII's), "character" (Unicode's code points); ids are then
    [batch, time] of texts [batch]. None: each text is a token, and ids have the shape of the texts. ngrams: of how many
    tokens each id is, in turn: (1, 2) gives all tokens, then all pairs with a space between.
    """

    vocabulary: tuple[str, ...]
    first: int = 0
    outside: int | None = None
    blank: int = 0
    lowercase: bool = False
    punctuation: str = "keep"
    split: str | None = None
    ngrams: tuple[int, ...] = (1,)

    def check(self, where: str, shape: Sequence[object], dtype: str) -> None:
        """Raise GraphError for a reading that says nothing, or that an input of this shape and dtype cannot have."""
        def wrong(what: str, expected: str, got: Any) -> GraphError:
            return GraphError(f"{where}: {what} of its reading must be {expected}, got {got!r:.80}")

        if dtype not in ("int32", "int64"):
            raise wrong("the ids", "of an input of int32 or int64", dtype)
        words = self.vocabulary
        if not isinstance(words, tuple) or not 0 < len(words) <= MOST_TOKENS \
                or not all(type(word) is str and word and "\0" not in word and is_utf8(word) for word in words):
            raise wrong("the vocabulary", f"1 to {MOST_TOKENS} texts of UTF-8 without a zero in it, none empty", words)
        if len(set(words)) != len(words):
            raise wrong("the vocabulary", "without a token twice", Counter(words).most_common(1)[0][0])
        for name in ("first", "outside", "blank"):
            number = getattr(self, name)
            if type(number) is not int and (name != "outside" or number is not None) \
                    or number is not None and not -1 <= number <= MOST_TOKENS:
                raise wrong(name, f"a whole number from -1 to {MOST_TOKENS}", number)
        if type(self.lowercase) is not bool:
            raise wrong("lowercase", "true or false", self.lowercase)
        if self.punctuation not in ("keep", "drop"):
            raise wrong("punctuation", "'keep' or 'drop'", self.punctuation)
        if self.split is not None and self.split not in SPLITS:
            raise wrong("split", f"one of {SPLITS} or None", self.split)
        if not isinstance(self.ngrams, tuple) or not 0 < len(self.ngrams) <= MOST_NGRAM or not all(
                type(width) is int and 1 <= width <= MOST_NGRAM for width in self.ngrams):
            raise wrong("ngrams", f"1 to {MOST_NGRAM} numbers from 1 to {MOST_NGRAM}", self.ngrams)
        if self.split is None and self.ngrams != (1,):
            raise wrong("ngrams", "(1,) where texts are not split", self.ngrams)
        if self.split is not None and (len(shape) != 2 or shape[0] != "batch"):
            raise wrong("the ids", "[batch, time] where texts are split", list(shape))
        if self.split is not None and isinstance(shape[1], int) and shape[1] > MOST_STEPS:
            raise wrong("the steps", f"at most {MOST_STEPS} of a text, to which all are padded", shape[1])

    @cached_property
    def ids(self) -> dict[bytes, int]:
        """The id of each token as UTF-8, of the empty one, too: made when the first text comes, for all who read."""
        return {b"": self.blank, **{token.encode(): at for at, token in enumerate(self.vocabulary, self.first)}}

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"

    def __str__(self) -> str:
        cleaned = [*["lowercase"] * self.lowercase, *["without punctuation"] * (self.punctuation == "drop")]
        split = {None: "a token each", "whitespace": "split at spaces", "character": "split into characters"}
        widths = [f"in runs of {' and '.join(map(str, self.ngrams))}"] if self.ngrams != (1,) else []
        return f"{', '.join([*cleaned, split[self.split], *widths])}, of a vocabulary of {len(self.vocabulary):,}"

    def drawn(self, shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
        """Texts for ids of a shape: of tokens of the vocabulary, others where they have an id, and what is cleaned
        off."""
        odd = ["zzq", "Zzq", "zz9"] if self.outside is not None else []
        nothing = ["", "  ", *["!"] * (self.punctuation == "drop")] if self.split == "whitespace" else []
        words = np.array([*self.vocabulary, *odd, *nothing], object)
        if self.split is None:
            return words[rng.integers(0, len(words), tuple(shape))].astype(str)
        between = " " if self.split == "whitespace" else ""
        return np.array([between.join(rng.choice(words, rng.integers(0, 9))) for _ in range(shape[0])], str)

    def settings(self) -> dict[str, Any]:
        """All but the vocabulary, where it is not as usual."""
        return {field.name: value for field in fields(self) if field.name != "vocabulary"
                and (value := getattr(self, field.name)) != field.default}
