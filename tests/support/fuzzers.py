"""Lets tests import the fuzzers of tools/fuzz, and makes targets that stand for faults of every kind."""

from __future__ import annotations

import ctypes
import os
import random
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tools"))

import numpy as np
from fuzz import campaign, child, findings, rule, targets  # noqa: E402, F401  (for the tests)
from fuzz.mutate import raw, zips  # noqa: E402, F401
from fuzz.state import State  # noqa: E402, F401
from fuzz.target import CORPUS, Target  # noqa: E402, F401
from fuzz.targets import misuse_of_calls  # noqa: E402, F401

from lstm_engine.errors import FormatError  # noqa: E402

MARK = 0x7F


def fault(name: str) -> Target:
    """A reader that is right about every input but those that hold MARK, with which it does what `name` says."""
    def execute(data: bytes) -> str:
        if MARK in data:
            FAULTS[name]()
        raise FormatError("not a file of this kind")

    def mutate(data: bytes, rng: random.Random) -> bytes:
        return raw.damaged(data, rng, [bytes([MARK])])
    return Target(name, f"a planted fault: {name}", execute, mutate, largest=64)


def _spin() -> None:
    while True:
        pass


def _crash() -> None:
    ctypes.string_at(0)


FAULTS = {
    "KeyError": lambda: {}["missing"],
    "RecursionError": lambda: _deep(0),
    "MemoryError": lambda: bytearray(1 << 46),
    "slow": _spin,
    "memory": lambda: np.ones(300 << 20, np.uint8),
    "crash": _crash,
    "hang": lambda: time.sleep(3600),
    "exit": lambda: os._exit(0),
}


def _deep(depth: int) -> int:
    return 1 + _deep(depth + 1)


def crash() -> Target:
    return fault("crash")


def hang() -> Target:
    return fault("hang")


def key_error() -> Target:
    return fault("KeyError")
