"""The tagger: parts of speech of our own sentences, fed as one list of unequal sequences."""

from __future__ import annotations

import argparse

import numpy as np

from ..console import Console
from .common import Result, convert, heading, rate, scaled_difference, stored

# PyTorch and this engine order their float32 sums differently; logits of about 10 differ by some 1e-6 of their size.
TOLERANCE = 1e-5
SHOWN = 4


def run(arguments: argparse.Namespace, console: Console) -> Result:
    """Convert `tagger.onnx`, tag the stored sentences in one batch, compare with PyTorch's stored logits."""
    data = stored("tagger.npz")
    model, seconds = convert("tagger.onnx")
    cuts = np.cumsum(data["lengths"])[:-1]
    sentences = np.split(data["ids"], cuts)
    logits = model.predict(sentences, threads=arguments.threads)
    per_second = rate(lambda: sum(map(len, model.predict(sentences, threads=arguments.threads))))

    texts = [text.split(" ") for text in data["sentences"].tolist()]
    tags = [[str(data["tags"][best]) for best in of_sentence.argmax(axis=1)] for of_sentence in logits]
    theirs = data["logits"].argmax(axis=1)
    difference = scaled_difference(np.concatenate(logits), data["logits"])
    same_tags = bool((np.concatenate(logits).argmax(axis=1) == theirs).all())
    numbers = {
        "max_difference": difference, "same_tags": same_tags,
        "words": len(theirs), "words_per_second": per_second,
        "sentences": [{"words": words, "tags": own} for words, own in zip(texts, tags, strict=True)],
    }
    known = {str(word) for word in data["words"]}
    lines = heading(console, "Tagger: parts of speech, by a bidirectional LSTM exported from PyTorch to ONNX",
                    "tagger.onnx", model, seconds)
    for words, own in list(zip(texts, tags, strict=True))[:SHOWN]:
        lines += [*_columns(console, [word if word in known else f"{word}*" for word in words], own), ""]
    same = "every tag the same" if same_tags else "not every tag the same"
    lines += ["* a word the model never saw",
              f"largest difference from PyTorch's stored logits: {difference:.1e} (relative above 1); {same}",
              f"{per_second:,.0f} words per second, {len(texts)} unequal sentences in one batch"]
    return Result(lines, numbers, "PyTorch", difference, TOLERANCE)


def _columns(console: Console, words: list[str], tags: list[str]) -> list[str]:
    """Each tag below its word, in as many pairs of lines as the width needs."""
    lines = []
    above = below = ""
    for word, tag in zip(words, tags, strict=True):
        width = max(len(word), len(tag)) + 2
        if len(above) + width > console.width - 2 and above:
            lines += [f"  {above.rstrip()}", f"  {console.style(below.rstrip(), 'cyan')}"]
            above = below = ""
        above, below = above + word.ljust(width), below + tag.ljust(width)
    return [*lines, f"  {above.rstrip()}", f"  {console.style(below.rstrip(), 'cyan')}"]
