"""The oracle against ONNX Runtime, over everything the ONNX operators can say."""

import numpy as np
import pytest
from onnx_cells import ONNX_ACTIVATIONS, random_case, run_onnx

from lstm_engine import reference

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

FUNCTIONS = {"LSTM": reference.lstm, "GRU": reference.gru, "RNN": reference.rnn}


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("op", FUNCTIONS)
def test_a_random_configuration_agrees(op, seed):
    arrays, options = random_case(op, seed)
    expected = run_onnx(op, **arrays, **options)
    # ONNX Runtime's states of a row of length 0 are zero.
    computed = FUNCTIONS[op](**arrays, **options, empty="zero")
    # ONNX Runtime computes in float32: about 20 roundings of 6e-8 a step, at most 7 steps, a growth of at most ~4
    # where an activation is unbounded.
    for ours, theirs, name in zip(computed, expected, ("Y", "Y_h", "Y_c")[:len(expected)], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5, err_msg=f"{name} of {op}, seed {seed}")


def test_the_random_configurations_hold_every_option():
    cases = [random_case(op, seed) for op in FUNCTIONS for seed in range(60)]
    options = [options for _, options in cases]
    used = {f.name for o in options if o["activations"] for functions in o["activations"] for f in functions}
    assert used == set(ONNX_ACTIVATIONS)
    for present in ("sequence_lens", "P", "initial_h", "initial_c", "B"):
        assert {arrays.get(present) is None for arrays, _ in cases} == {True, False}
    assert any(arrays["sequence_lens"] is not None and 0 in arrays["sequence_lens"] for arrays, _ in cases)
    assert {o["direction"] for o in options} == {"forward", "reverse", "bidirectional"}
    for flag in ("input_forget", "linear_before_reset"):
        assert {o[flag] for o in options if flag in o} == {True, False}


@pytest.mark.parametrize("op", FUNCTIONS)
def test_a_row_of_length_0_keeps_its_state_unless_zero_is_asked_for(op):
    arrays, options = random_case(op, 3)
    rows, dirs, hidden = len(arrays["X"]), len(arrays["R"]), arrays["R"].shape[2]
    arrays.update(sequence_lens=np.zeros(rows, np.int32), initial_h=np.ones((rows, dirs, hidden)))
    Y, Y_h, *_ = FUNCTIONS[op](**arrays, **options)
    assert not Y.any() and (Y_h == 1).all()
    Y, Y_h, *_ = FUNCTIONS[op](**arrays, **options, empty="zero")
    assert not Y.any() and not Y_h.any()
