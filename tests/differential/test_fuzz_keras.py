"""Random Keras models of fixed seeds, in every file format and every way to run them, against Keras.

More of them, with other seeds: tools/fuzz_keras.py. What is compared, and how near: tests/support/keras_fuzz.py.
"""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("h5py")
pytest.importorskip("keras")

from keras_fuzz import check

# The first sixteen, and some that once found something: a layer shared with an inner model (16, 45), models without
# weights (18, 131), frozen parts.
SEEDS = [*range(17), 18, 45, 131]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_model(seed, tmp_path):
    outcome = check(seed, tmp_path)
    assert not outcome.findings
    assert outcome.compared or outcome.refused or outcome.skipped


def test_most_are_compared(tmp_path):
    """A fuzzer that refuses or skips everything would find nothing."""
    outcomes = [check(seed, tmp_path) for seed in SEEDS[:6]]
    assert sum(outcome.compared > 4 for outcome in outcomes) >= 5
