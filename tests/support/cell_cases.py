"""Random recurrent cells of all sizes for tests against other engines, and how their numbers are compared."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass

import numpy as np

import lstm_engine as le

_GIVEN = os.environ.get("LSTM_ENGINE_TEST_SEED")
# The same cases every run; another seed gives new ones, and a failure prints the one it had.
SEED = int(_GIVEN) if _GIVEN else 0
# How many configurations of each kind one run of the tests has.
CASES = {"onnxruntime": 312, "torch": 168, "torch cell": 45, "keras": 96, "keras stateful": 18}
ISAS = tuple(le.info()["isas"])
EPSILON = float(np.finfo(np.float32).eps)


def generator(kind: str, number: int) -> np.random.Generator:
    """The random numbers of case `number` of a kind."""
    return np.random.default_rng([SEED, zlib.crc32(kind.encode()), number])


def label(kind: str, number: int) -> str:
    """What a failure says, so that it can be repeated."""
    return f"{kind} case {number}, LSTM_ENGINE_TEST_SEED={SEED}"


@dataclass(frozen=True)
class Sizes:
    batch: int
    time: int
    features: int
    hidden: int

    @property
    def large(self) -> bool:
        """Large enough to reach every way in which the engine cuts work up."""
        return self.hidden >= 96 or self.batch >= 9 or self.time >= 100


def sizes(rng: np.random.Generator, number: int) -> Sizes:
    """Every third case is large in one axis at least; hidden sizes are often beside multiples of 16 and 64."""
    def between(low, high):
        return int(rng.integers(low, high + 1))

    if number % 3:
        return Sizes(between(1, 8), between(1, 12), between(1, 24), between(1, 48))
    way = number // 3 % 4
    if way == 0:
        hidden = int(rng.choice([96, 127, 128, 129, 143, 160, 191, 192, 193, 256, 257]))
        return Sizes(between(1, 4), between(1, 10), int(rng.choice([1, 40, 63, 64, 65, 130])), hidden)
    if way == 1:
        return Sizes(between(9, 48), between(1, 15), between(1, 70), between(1, 64))
    if way == 2:
        return Sizes(between(1, 4), between(100, 250), between(1, 16), between(1, 40))
    return Sizes(between(9, 17), between(2, 8), between(1, 40), between(96, 140))


def uniform(rng: np.random.Generator, bound: float, *shape: int) -> np.ndarray:
    """float32 numbers in [-bound, bound]; 1/sqrt(H) is what PyTorch begins training with."""
    return rng.uniform(-bound, bound, shape).astype(np.float32)


def lengths(rng: np.random.Generator, batch: int, time: int, least: int = 0) -> np.ndarray:
    """Real steps of each row, `least` and the whole length often among them."""
    made = rng.integers(least, time + 1, batch)
    made[rng.random(batch) < 0.2] = time
    made[rng.random(batch) < 0.1] = least
    return made.astype(np.int32)


def assert_as_exact(ours, theirs, exact, where: str) -> None:
    """Two float32 results against the float64 one: ours is no further from it than a few times theirs.

    A fixed tolerance would be too tight for a cell that magnifies rounding (relu over 250 steps) and too loose for
    the rest. Both sides round each of some hundred operations a step, in another order, so their errors are of
    one size, which the factor 4 allows for; 16 epsilon of the largest value stands for results that the other side
    happens to have exactly. That the other side is near the float64 result at all, to 1e-3, says that both mean the
    same cell: errors of meaning (a gate, a bias, a step) are above 1e-2.
    """
    for number, (mine, other, right) in enumerate(zip(ours, theirs, exact, strict=True)):
        assert mine.shape == np.shape(right) == np.shape(other), f"{where}: shape of result {number}"
        assert np.isfinite(right).all() and np.isfinite(mine).all(), f"{where}: result {number} is not finite"
        scale = max(1.0, float(np.abs(right).max(initial=0)))
        their_error = float(np.abs(other - right).max(initial=0))
        assert their_error <= 1e-3 * scale, f"{where}: result {number}: the other engine is off by {their_error}"
        our_error = float(np.abs(mine - right).max(initial=0))
        bound = 4 * their_error + 16 * EPSILON * scale
        assert our_error <= bound, f"{where}: result {number} is off by {our_error}, the other engine by {their_error}"
