"""The random configurations that other engines are compared on: how many, how large, repeatable, and able to fail."""

import numpy as np
import pytest
from cell_cases import CASES, SEED, assert_as_exact, generator, label, sizes


def test_there_are_enough_and_a_third_is_large():
    assert sum(CASES.values()) >= 500
    for kind, count in CASES.items():
        # Cells on their own come in threes of one size: LSTM, GRU, RNN.
        numbers = [number // 3 if kind == "torch cell" else number for number in range(count)]
        assert 3 * sum(sizes(generator(kind, number), number).large for number in numbers) >= count, kind


def test_a_case_can_be_made_again_from_what_a_failure_says():
    assert label("torch", 7) == f"torch case 7, LSTM_ENGINE_TEST_SEED={SEED}"
    assert generator("torch", 7).random() == generator("torch", 7).random() != generator("torch", 8).random()


def test_a_wrong_result_fails_and_says_where():
    exact = np.linspace(-1, 1, 50).reshape(5, 10)
    right = exact.astype(np.float32)
    assert_as_exact([right], [right], [exact], "here")
    wrong = right.copy()
    wrong[2, 3] += 1e-5                       # some hundred roundings, where the other engine has one
    for ours, theirs, message in (([wrong], [right], "here: result 0 is off by"),
                                  ([right], [right + 0.01], "the other engine is off"),
                                  ([right[:4]], [right], "shape of result 0"),
                                  ([right * np.nan], [right], "not finite")):
        with pytest.raises(AssertionError, match=message):
            assert_as_exact(ours, theirs, [exact], "here")
