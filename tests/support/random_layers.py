"""Random numbers and layers made of them, for tests of models that are made in Python."""

from __future__ import annotations

from typing import Any

import numpy as np

import lstm_engine as le


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """float32 numbers of deviation 0.5, which keep gates off their ends; the same for the same shape and seed."""
    return (0.5 * np.random.default_rng([seed, *shape]).standard_normal(shape)).astype(np.float32)


def lstm(features: int, hidden: int, direction: str = "forward", **options: Any) -> le.LSTM:
    dirs = 1 + (direction == "bidirectional")
    return le.LSTM(normal(dirs, 4 * hidden, features), normal(dirs, 4 * hidden, hidden), normal(dirs, 8 * hidden),
                   direction=direction, **options)
