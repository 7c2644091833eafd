"""CSV for `lstm-engine predict`: a line that says how it is read (for which input, by which options), then the text."""

from __future__ import annotations

import random
from dataclasses import fields
from typing import Any

from lstm_engine.cli.arguments import UsageError
from lstm_engine.cli.csv_text import CsvOptions
from lstm_engine.cli.reading import _open_csv
from lstm_engine.cli.sequences import Pad
from lstm_engine.graph import Value

from ..mutate import raw
from ..target import Folder, Target

INPUTS = {"ids": Value("x", ("batch", "time"), "int32"), "steps": Value("x", ("batch", "time", 2)),
          "one": Value("x", ("batch", "time", 1)), "numbers": Value("x", ("batch", "time")),
          "vectors": Value("x", ("batch", 3)), "image": Value("x", ("batch", 2, 2, 2))}
# What the command line lets through for each option (cli/csv_arguments.py).
CHOICES: dict[str, tuple[Any, ...]] = {
    "sep": (None, ";", "\t", " ", "|", ","), "decimal": (None, ".", ","), "header": (None, True, False),
    "index": (None, True, False), "name_column": (None, "1", "2", "9" * 40, "name", "0", ""),
    "columns": (None, ("2",), ("1", "2"), ("name",), ("x", "y")), "rows": (None, "steps", "sequences"),
    "missing": (False, True)}
PADS = (None, Pad(None), Pad(3), Pad(2, "right", "right", -1.0), Pad(1, "left", "right", 1e300))
WORDS = (b",", b";", b"\t", b'"', b"\r\n", b"\n\n", b"1,000", b"1.5", b"1e999", b"nan", b"-inf", b"01", b"9" * 30,
         b"9" * 5000, b"2024-01-01", b"name", b"\xef\xbb\xbf", b"\xff", b"\0", b"\xd9\xa3", b"NA", b"x,y\n1,2\n")
_folder = Folder()


def execute(data: bytes) -> str:
    head, _, body = data.partition(b"\n")
    said = head.split()
    if len(said) != 2 + len(CHOICES) or not all(word.isdigit() and len(word) < 4 for word in said):
        return "the first line is none"
    numbers = [int(word) for word in said]
    value = list(INPUTS.values())[numbers[0] % len(INPUTS)]
    options = CsvOptions(**{name: given[number % len(given)]
                            for (name, given), number in zip(CHOICES.items(), numbers[2:])})
    with _folder.file(body, "input.csv") as path:
        try:
            read = _open_csv(str(path), value, options, PADS[numbers[1] % len(PADS)])
        except UsageError as error:                        # the command line's own error, exit code 2
            return f"UsageError: {str(error).partition(':')[2][:60]}"
    return f"read {[array.ndim for array in read.arrays.values()]} {read.told[:20]}"


def line(wanted: str, pad: int = 0, **options: Any) -> bytes:
    """The first line: for the input called `wanted`."""
    numbers = [list(INPUTS).index(wanted), pad,
               *(given.index(options.get(name, given[0])) for name, given in CHOICES.items())]
    return " ".join(map(str, numbers)).encode() + b"\n"


def mutate(data: bytes, rng: random.Random) -> bytes:
    head, _, body = data.partition(b"\n")
    if rng.random() < 0.3:
        numbers = head.split()
        if numbers:
            numbers[rng.randrange(len(numbers))] = str(rng.randrange(7)).encode()
        return b" ".join(numbers) + b"\n" + body
    return head + b"\n" + raw.damaged(body, rng, WORDS)


def targets() -> dict[str, Target]:
    assert list(CHOICES) == [option.name for option in fields(CsvOptions)]
    return {"csv": Target("csv", "CSV for predict, with every option of reading it", execute, mutate, WORDS)}
