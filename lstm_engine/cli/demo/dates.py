"""The date finder: which characters of our own sentences are a day, a month, a year; one list of unequal sequences."""

from __future__ import annotations

import argparse
import re

import numpy as np

from ..console import Console
from .common import Result, convert, heading, rate, scaled_difference, stored

# PyTorch and this engine order their float32 sums differently; logits of about 10 differ by some 1e-6 of their size.
TOLERANCE = 1e-5
SHOWN = 4


def run(arguments: argparse.Namespace, console: Console) -> Result:
    """Convert `dates.onnx`, label the stored sentences in one batch, compare with PyTorch's stored logits."""
    data = stored("dates.npz")
    model, seconds = convert("dates.onnx")
    sequences = np.split(data["ids"], np.cumsum(data["lengths"])[:-1])
    logits = model.predict(sequences, threads=arguments.threads)
    per_second = rate(lambda: sum(map(len, model.predict(sequences, threads=arguments.threads))))

    letters, texts = str(data["labels"]), data["sentences"].tolist()
    labels = ["".join(letters[best] for best in of_sentence.argmax(axis=1)) for of_sentence in logits]
    difference = scaled_difference(np.concatenate(logits), data["logits"])
    same = "".join(labels) == "".join(letters[best] for best in data["logits"].argmax(axis=1))
    numbers = {
        "max_difference": difference, "same_labels": same,
        "characters": len(data["ids"]), "characters_per_second": per_second,
        "sentences": [{"text": text, "labels": own, "found": found(text, own)}
                      for text, own in zip(texts, labels, strict=True)],
    }
    lines = heading(console, "Dates: day, month and year in a line of text, by a bidirectional LSTM exported from "
                             "PyTorch to ONNX", "dates.onnx", model, seconds)
    for text, own in list(zip(texts, labels, strict=True))[:SHOWN]:
        lines += [*_below_each_other(console, text, own.replace(".", " ")), ""]
    lines += ["D day, M month, Y year: one label a character, on sentences that it was not trained on",
              f"largest difference from PyTorch's stored logits: {difference:.1e} (relative above 1); "
              f"{'every label the same' if same else 'not every label the same'}",
              f"{per_second:,.0f} characters per second, {len(texts)} unequal sentences in one batch"]
    return Result(lines, numbers, "PyTorch", difference, TOLERANCE)


def found(text: str, labels: str) -> list[dict[str, str]]:
    """The parts of dates in a text, in order: {"label": "D", "text": "2"}."""
    return [{"label": part[0][0], "text": text[part.start():part.end()]}
            for part in re.finditer(r"D+|M+|Y+", labels)]


def _below_each_other(console: Console, text: str, labels: str) -> list[str]:
    """Each label below its character, in as many pairs of lines as the width needs."""
    lines = []
    width = max(console.width - 4, 1)
    for start in range(0, len(text), width):
        part, own = text[start:start + width], labels[start:start + width].rstrip()
        lines += [f"  {part}", f"  {console.style(own, 'cyan')}" if own else ""]
    return lines
