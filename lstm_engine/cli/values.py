"""Kinds of values on the command line: text to numbers and names, refused by argparse with what is wrong."""

from __future__ import annotations

import argparse
from pathlib import Path

MOST = 2**31 - 1            # rows, steps
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def path(text: str) -> Path:
    """A path; an empty one would mean the folder that one is in."""
    if not text:
        raise argparse.ArgumentTypeError("an empty path; a variable that is not set?")
    return Path(text)


def count(text: str) -> int:
    """A whole number of at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not a whole number of at least 1")
    if number > MOST:
        raise argparse.ArgumentTypeError(f"{text!r:.80} is more than {MOST}")
    return number


def threads(text: str) -> int:
    """A number of threads, as `predict` takes it."""
    number = count(text)
    if number > 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is more than 1024 threads")
    return number


def counts(text: str) -> list[int]:
    """Whole numbers of at least 1 with commas between: 1,16,64."""
    return [count(part) for part in text.split(",")]


def seed(text: str) -> int:
    """A whole number from 0."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def positive(text: str) -> float:
    """A number above 0, not infinite."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def layer_activation(text: str) -> tuple[str, str]:
    """LAYER=NAME: fc=relu, head.net.0=none."""
    layer, equals, name = text.rpartition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not LAYER=NAME, such as fc=relu or fc=none")
    return layer, name


def class_meant(text: str) -> tuple[str, str]:
    """NAME=CLASS: CRF=keras_contrib.layers.CRF."""
    name, _, meant = text.partition("=")
    if not name or not meant:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=CLASS, such as CRF=keras_contrib.layers.CRF")
    return name, meant


def layer_type(text: str) -> tuple[str, str]:
    """NAME=TYPE: lstm=int8, fc=float32."""
    layer, equals, kind = text.rpartition("=")
    if not equals or not layer or not kind:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=TYPE, such as lstm=int8 or fc=float32")
    return layer, kind


def names(text: str) -> list[str]:
    """Names with commas between: lstm,fc1,fc2."""
    return text.split(",")


def size(text: str) -> int:
    """A number of bytes: 4294967296, 512M, 4G."""
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    if not (number.isascii() and number.isdigit()) or unit not in _UNITS or len(number) > 20 or int(number) == 0:
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not a number of bytes, such as 4294967296, 512M or 4G")
    return int(number) << _UNITS[unit]


def long_count(text: str) -> int:
    """A whole number of at least 1, of any size."""
    if not (text.isascii() and text.isdigit()) or len(text) > 30 or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not a whole number of at least 1")
    return int(text)
