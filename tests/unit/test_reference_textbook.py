"""The extensions that no other library here computes, against scalar equations in plain Python."""

from math import exp, tanh

import numpy as np
import pytest

from lstm_engine import reference
from lstm_engine.errors import ArgumentError
from lstm_engine.graph import SIGMOID, TANH, Activation

X = [0.3, -1.2, 2.0]
W = dict(i=0.5, o=-0.7, f=1.1, c=0.9)
R = dict(i=-0.4, o=0.8, f=0.2, c=-1.3)
B = dict(i=0.1, o=0.2, f=-0.3, c=0.4)
P = dict(i=0.6, o=-1.5, f=0.7)


def sigmoid(x):
    return 1 / (1 + exp(-x))


def one_unit(peephole_output, cell_clip=None, h=0.25, c=-0.5):
    """h_1, h_2, ... and the last c of an LSTM of one unit, written out (Graves 2013, equations 7 to 11)."""
    outputs = []
    for x in X:
        before = c
        i = sigmoid(W["i"] * x + R["i"] * h + P["i"] * before + B["i"])
        f = sigmoid(W["f"] * x + R["f"] * h + P["f"] * before + B["f"])
        c = f * before + i * tanh(W["c"] * x + R["c"] * h + B["c"])
        if cell_clip is not None:
            c = max(-cell_clip, min(cell_clip, c))
        seen = c if peephole_output == "current" else before
        o = sigmoid(W["o"] * x + R["o"] * h + P["o"] * seen + B["o"])
        h = o * tanh(c)
        outputs.append(h)
    return outputs, c


def gates(values, order="iofc"):
    return np.array([[values[gate] for gate in order]])


@pytest.mark.parametrize("peephole_output", ["current", "previous"])
@pytest.mark.parametrize("cell_clip", [None, 0.2])
def test_one_unit_by_hand(peephole_output, cell_clip):
    outputs, c = one_unit(peephole_output, cell_clip)
    Y, Y_h, Y_c = reference.lstm(
        np.array(X).reshape(1, 3, 1), gates(W)[..., None], gates(R)[..., None],
        np.concatenate([gates(B), np.zeros((1, 4))], axis=1), P=gates(P, "iof"), initial_h=[[[0.25]]],
        initial_c=[[[-0.5]]], peephole_output=peephole_output, cell_clip=cell_clip)
    np.testing.assert_allclose(Y.ravel(), outputs, rtol=1e-14)        # a few roundings of float64
    np.testing.assert_allclose([Y_h.item(), Y_c.item()], [outputs[-1], c], rtol=1e-14)
    assert cell_clip is None or abs(Y_c.item()) == cell_clip


def cell(kind, dirs=1, hidden=3, features=2):
    rng = np.random.default_rng(0)
    rows = {"lstm": 4, "gru": 3, "rnn": 1}[kind] * hidden
    return dict(W=rng.standard_normal((dirs, rows, features)), R=rng.standard_normal((dirs, rows, hidden)),
                B=rng.standard_normal((dirs, 2 * rows)))


SEQUENCE = np.random.default_rng(1).standard_normal((4, 5, 2))
FUNCTIONS = {"lstm": reference.lstm, "gru": reference.gru, "rnn": reference.rnn}


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_padding_and_masked_steps_may_hold_nan(kind):
    lengths, mask = np.array([5, 0, 2, 3]), np.ones((4, 5), bool)
    mask[3, 1] = False
    dirty = SEQUENCE.copy()
    dirty[1] = dirty[2, 2:] = dirty[3, 3:] = dirty[3, 1] = np.nan
    options = dict(cell(kind, dirs=2), direction="bidirectional", sequence_lens=lengths, mask=mask)
    for clean, with_nan in zip(FUNCTIONS[kind](SEQUENCE, **options), FUNCTIONS[kind](dirty, **options), strict=True):
        np.testing.assert_array_equal(with_nan, clean)
        assert np.isfinite(clean).all()


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_a_row_is_what_it_would_be_alone(kind):
    weights, lengths = cell(kind, dirs=2), np.array([5, 1, 2, 3])
    Y, Y_h, *_ = FUNCTIONS[kind](SEQUENCE, **weights, direction="bidirectional", sequence_lens=lengths)
    for row, length in enumerate(lengths):
        y, y_h, *_ = FUNCTIONS[kind](SEQUENCE[row:row + 1, :length], **weights, direction="bidirectional")
        # Another batch size may make NumPy sum a product in another order: a few roundings of float64.
        np.testing.assert_allclose(Y[row, :length], y[0], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(Y_h[row], y_h[0], rtol=1e-12, atol=1e-14)
        assert not Y[row, length:].any()


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_a_sequence_cut_in_two_is_the_same_sequence(kind):
    weights = cell(kind)
    whole = FUNCTIONS[kind](SEQUENCE, **weights)
    first = FUNCTIONS[kind](SEQUENCE[:, :2], **weights)
    carried = dict(zip(("initial_h", "initial_c"), first[1:], strict=False))
    second = FUNCTIONS[kind](SEQUENCE[:, 2:], **weights, **carried)
    np.testing.assert_array_equal(np.concatenate([first[0], second[0]], axis=1), whole[0])
    for final, expected in zip(second[1:], whole[1:], strict=True):
        np.testing.assert_array_equal(final, expected)


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_no_steps_and_no_rows_are_legal(kind):
    Y, Y_h, *_ = FUNCTIONS[kind](SEQUENCE[:, :0], **cell(kind), initial_h=np.ones((4, 1, 3)))
    assert Y.shape == (4, 0, 1, 3) and (Y_h == 1).all()
    Y, Y_h, *_ = FUNCTIONS[kind](SEQUENCE[:0], **cell(kind))
    assert Y.shape == (0, 5, 1, 3) and Y_h.shape == (0, 1, 3)


def test_a_masked_step_repeats_or_zeroes_the_output():
    mask = np.array([[False, True, False, True, False]] * 4)
    Y, Y_h, _ = reference.lstm(SEQUENCE, **cell("lstm"), mask=mask)
    alone, alone_h, _ = reference.lstm(SEQUENCE[:, [1, 3]], **cell("lstm"))
    np.testing.assert_array_equal(Y_h, alone_h)
    np.testing.assert_array_equal(Y, np.stack([0 * alone[:, 0], *alone[:, [0, 0, 1, 1]].swapaxes(0, 1)], axis=1))
    Y, Y_h, _ = reference.lstm(SEQUENCE, **cell("lstm"), mask=mask, zero_masked=True)
    np.testing.assert_array_equal(Y_h, alone_h)
    np.testing.assert_array_equal(Y[:, [1, 3]], alone)
    assert not Y[:, [0, 2, 4]].any()


def test_each_direction_has_its_own_activations():
    weights = cell("rnn", dirs=2)
    options = dict(**weights, direction="bidirectional")
    scaled = Activation.of("scaled_tanh", 2.0, 1.0)
    both, _ = reference.rnn(SEQUENCE, **options, activations=((TANH,), (scaled,)))
    plain, _ = reference.rnn(SEQUENCE, **options)
    np.testing.assert_array_equal(both[:, :, 0], plain[:, :, 0])
    assert abs(both[:, :, 1]).max() > 1 >= abs(plain).max()
    with pytest.raises(TypeError):
        reference.rnn(SEQUENCE, **options, activations=((TANH, SIGMOID),) * 2)


@pytest.mark.parametrize("options, message", [
    (dict(direction="bidirectional"), r"direction 'bidirectional' does not go with weights of 1 direction"),
    (dict(direction="sideways"), r"direction 'sideways' does not go"),
    (dict(initial_h=np.zeros((1, 4, 3))), r"initial_h must be \[batch, dirs, size\] = \[4, 1, 3\], got \[1, 4, 3\]"),
    (dict(initial_c=np.zeros((4, 3))), r"initial_c must be .* got \[4, 3\]"),
    (dict(sequence_lens=[5, 5, 5]), r"lengths must be 4 integers, got int64 \[3\]"),
    (dict(sequence_lens=[5.0] * 4), r"lengths must be 4 integers, got float64 \[4\]"),
    (dict(sequence_lens=[5, 5, 5, 6]), r"lengths must be from 0 to 5, got 5 to 6"),
    (dict(sequence_lens=[5, -1, 5, 5]), r"lengths must be from 0 to 5, got -1 to 5"),
    (dict(mask=np.ones((4, 4), bool)), r"mask must be bool \[batch, time\] = \[4, 5\], got bool \[4, 4\]"),
    (dict(empty="nothing"), r"empty must be 'initial' or 'zero', got 'nothing'"),
    (dict(mask=np.ones((4, 5))), r"mask must be bool .* got float64 \[4, 5\]"),
])
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ArgumentError, match=message):
        reference.lstm(SEQUENCE, **cell("lstm"), **options)
