"""The character model: continues a prompt, and tells verse from prose by how well it foresees each character."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..arguments import UsageError
from ..console import Console
from .common import Result, convert, heading, rate, scaled_difference, stored

if TYPE_CHECKING:
    from ...model import Model

# Keras on PyTorch and this engine order their float32 sums differently; 48 steps on, probabilities differ by 2e-6.
TOLERANCE = 1e-5
BATCH = 64
EXAMPLES = 3                 # lines shown at each end of the order
TINY = np.float32(1e-38)     # keeps the logarithm of a probability that underflowed finite


def run(arguments: argparse.Namespace, console: Console) -> Result:
    """Convert `shakespeare.keras`, write, score, compare with Keras' stored outputs, and time it."""
    data = stored("shakespeare.npz")
    charset = [chr(point) for point in data["charset"]]
    index = {character: number for number, character in enumerate(charset)}
    strange = sorted(set(arguments.prompt) - set(charset))
    if strange or not arguments.prompt:
        raise UsageError(f"--prompt: the model does not know {strange[0]!r}" if strange else "--prompt: is empty")
    model, seconds = convert("shakespeare.keras")
    prompt = np.array([index[character] for character in arguments.prompt], np.int32)

    rng = np.random.default_rng(arguments.seed)
    written = [row[0] for row in write(model, prompt[None], arguments.length, arguments.temperature, rng,
                                       arguments.threads)]
    continuation = "".join(charset[number] for number in written)
    nats = score(model, [np.array([index[character] for character in line], np.int32)
                         for line in data["score_text"].tolist()], arguments.threads)
    probabilities = model.predict(data["ids"], threads=arguments.threads)
    alone, together = _speed(model, prompt, rng, arguments.threads)

    verse = data["score_is_verse"]
    difference = scaled_difference(probabilities, data["probs"])
    nats_difference = float(np.abs(nats - data["score_nats"]).max())
    share = _easier_in_pairs(nats, verse)
    numbers = {
        "continuation": continuation,
        "verse_nats": float(nats[verse].mean()), "prose_nats": float(nats[~verse].mean()),
        "verse_easier_share": share,
        "max_difference_probabilities": difference, "max_difference_nats": nats_difference,
        "characters_per_second_batch_1": alone, f"characters_per_second_batch_{BATCH}": together,
    }
    lines = heading(console, "Text: a character model trained in Keras on Shakespeare", "shakespeare.keras", model,
                    seconds)
    lines += _page(console, arguments.prompt, continuation)
    lines += ["", f"How hard lines are to foresee, in nats per character ({len(nats)} of unequal length, one batch):"]
    lines += _scores(console, data["score_text"].tolist(), nats, verse)
    lines += ["", f"the verse is the easier one in {share:.0%} of all pairs of verse and prose",
              f"largest difference from Keras' stored outputs: {difference:.1e} in a probability, "
                  f"{nats_difference:.1e} in a score",
              f"writing, a character at a time: {alone:,.0f} characters per second at batch 1, {together:,.0f} at "
              f"batch {BATCH}"]
    return Result(lines, numbers, "Keras", difference, TOLERANCE)


def write(model: Model, prompt: np.ndarray, length: int, temperature: float, rng: np.random.Generator,
          threads: int | None) -> Iterator[np.ndarray]:
    """Ids [batch] of one character after the other, drawn from p ** (1 / temperature); prompt [batch, steps].

    Drawn as a race of exponential waiting times, -ln u / p: the first to come is each with its own probability.
    """
    sharpness = np.float32(1 / temperature)
    with model.stream(batch=len(prompt), threads=threads) as stream:
        probabilities = stream.run(prompt)[:, -1]
        for _ in range(length):
            waits = rng.standard_exponential(probabilities.shape).astype(np.float32)
            ids = (sharpness * np.log(np.maximum(probabilities, TINY)) - np.log(waits)).argmax(axis=1).astype(np.int32)
            yield ids
            probabilities = stream.step(ids)


def score(model: Model, lines: list[np.ndarray], threads: int | None) -> np.ndarray:
    """Mean -ln p of each line's characters, the first one not counted: [lines]."""
    made = model.predict(lines, threads=threads)
    return np.array([-np.log(probabilities[np.arange(len(line) - 1), line[1:]].astype(np.float64)).mean()
                     for line, probabilities in zip(lines, made, strict=True)])


def _speed(model: Model, prompt: np.ndarray, rng: np.random.Generator, threads: int | None) -> tuple[float, float]:
    """Characters written per second, sampling included: one text, and BATCH texts side by side."""
    def written(batch: int, length: int) -> int:
        return batch * sum(1 for _ in write(model, np.repeat(prompt[None], batch, axis=0), length, 1.0, rng, threads))

    return rate(lambda: written(1, 200)), rate(lambda: written(BATCH, 50))


def _page(console: Console, prompt: str, continuation: str) -> list[str]:
    """The prompt and what follows, indented, long lines wrapped."""
    mark = len(prompt)
    lines, position = [], 0
    for line in (prompt + continuation).split("\n"):
        for part in textwrap.wrap(line, console.width - 4, drop_whitespace=False) or [""]:
            given = max(0, min(len(part), mark - position))
            lines.append(f"    {console.style(part[:given], 'cyan')}{part[given:].rstrip()}".rstrip())
            position += len(part)
        position += 1
    return lines


def _scores(console: Console, texts: list[str], nats: np.ndarray, verse: np.ndarray) -> list[str]:
    """The means of both kinds, and the lines easiest and hardest to foresee, as bars."""
    colours = {True: "green", False: "yellow"}
    order = np.argsort(nats)
    lines = [f"  {console.style(kind, colours[is_verse])} {nats[verse == is_verse].mean():.2f} on average of "
             f"{(verse == is_verse).sum()}" for kind, is_verse in (("verse", True), ("prose", False))]
    for title, numbers in (("the easiest", order[:EXAMPLES]), ("the hardest", order[-EXAMPLES:])):
        lines += ["", f"  {title}:"]
        for number in numbers:
            bar = ("━" if console.unicode else "=") * round(4 * nats[number])
            bar = console.style(bar.ljust(11), colours[bool(verse[number])])
            text = textwrap.shorten(texts[number], console.width - 28, placeholder="...")
            kind = "verse" if verse[number] else "prose"
            lines.append(f"  {kind} {nats[number]:.2f} {bar} {text}")
    return lines


def _easier_in_pairs(nats: np.ndarray, verse: np.ndarray) -> float:
    """The share of pairs, one of verse and one of prose, in which the verse is easier to foresee."""
    return float((nats[verse][:, None] < nats[~verse]).mean())
