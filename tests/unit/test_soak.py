"""What `tools/soak.py` calls growth: a leak stays one, a table that is laid out anew once does not become one."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.append(str(TOOLS))                     # last: tests/support has names of its own

import soak  # noqa: E402

ROUNDS = 80
NOISE = 0.002 * np.random.default_rng(0).standard_normal(ROUNDS)
ACTIONS = np.arange(ROUNDS) * 0.05              # thousands
BOUND = soak.GROWTH["heap"][2]


def grows(heap: np.ndarray) -> bool:
    rise, error = soak.slope(ACTIONS, soak.without_one_step(heap + NOISE))
    return rise - 3 * error > BOUND


def step(at: int, size: float) -> np.ndarray:
    return np.where(np.arange(ROUNDS) >= at, size, 0.0)


@pytest.mark.parametrize("at", [1, 20, ROUNDS // 2, ROUNDS - 10, ROUNDS - 1])
def test_one_step_is_no_leak(at):
    assert not grows(step(at, 0.96))


@pytest.mark.parametrize("heap", [0.2 * ACTIONS, 0.2 * ACTIONS + step(40, 0.96), step(20, 0.6) + step(50, 0.6),
                                  sum(step(at, 0.2) for at in range(10, ROUNDS, 12)), step(40, 2.0)],
                         ids=["a slope", "a slope and a step", "two steps", "many steps", "a large step"])
def test_a_leak_is_one(heap):
    assert grows(heap)
