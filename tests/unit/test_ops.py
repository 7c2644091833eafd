"""le.ops: ONNX's recurrent operators on raw weights; what they take, what they give, and what they refuse."""

import numpy as np
import pytest
from random_layers import normal

import lstm_engine as le
from lstm_engine import reference

GATES = {"lstm": 4, "gru": 3, "rnn": 1}
T, B, I, H = 5, 2, 3, 4        # noqa: E741  (ONNX calls it so)
# Sums of at most 8 terms of size 1 over 5 steps in float32.
CLOSE = dict(rtol=0, atol=2e-6)


def weights(op, dirs=1):
    rows = GATES[op] * H
    return normal(dirs, rows, I), normal(dirs, rows, H), normal(dirs, 2 * rows)


@pytest.fixture
def x():
    return normal(T, B, I)


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("dirs", (1, 2))
def test_shapes_and_layouts(op, dirs, x):
    direction = "bidirectional" if dirs == 2 else "reverse"
    run = getattr(le.ops, op)
    Y, *states = run(x, *weights(op, dirs), direction=direction)
    assert Y.shape == (T, dirs, B, H) and len(states) == (2 if op == "lstm" else 1)
    assert all(state.shape == (dirs, B, H) for state in states)
    turned, *turned_states = run(x.swapaxes(0, 1), *weights(op, dirs), direction=direction, layout=1)
    assert turned.shape == (B, T, dirs, H)
    np.testing.assert_array_equal(turned.transpose(1, 2, 0, 3), Y)
    for one, other in zip(turned_states, states, strict=True):
        assert one.shape == (B, dirs, H)
        np.testing.assert_array_equal(one.swapaxes(0, 1), other)


def test_states_follow_the_layout(x):
    W, R, bias = weights("lstm")
    h, c = normal(1, B, H, seed=1), normal(1, B, H, seed=2)
    one = le.ops.lstm(x, W, R, bias, initial_h=h, initial_c=c)
    other = le.ops.lstm(x.swapaxes(0, 1), W, R, bias, None, h.swapaxes(0, 1), c.swapaxes(0, 1), layout=1)
    np.testing.assert_array_equal(one[2], other[2].swapaxes(0, 1))
    assert not np.array_equal(one[2], le.ops.lstm(x, W, R, bias)[2])


def test_inputs_left_out_may_be_empty_strings(x):
    W, R, _ = weights("lstm")
    for one, other in zip(le.ops.lstm(x, W, R, "", "", "", "", ""), le.ops.lstm(x, W, R), strict=True):
        np.testing.assert_array_equal(one, other)


def test_all_eight_inputs_by_position(x):
    W, R, bias = weights("lstm")
    lengths, h, c, P = np.array([5, 2], np.int32), normal(1, B, H), normal(1, B, H, seed=1), normal(1, 3 * H)
    computed = le.ops.lstm(x, W, R, bias, lengths, h, c, P)
    Y, Y_h, Y_c = reference.lstm(x.swapaxes(0, 1), W, R, bias, lengths, h.swapaxes(0, 1), c.swapaxes(0, 1), P)
    np.testing.assert_allclose(computed[0], Y.transpose(1, 2, 0, 3), **CLOSE)
    np.testing.assert_allclose(computed[2], Y_c.swapaxes(0, 1), **CLOSE)


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("features", (I, 130))
def test_rows_without_steps_end_in_zeros(op, features):
    """130 features reach the way of products that takes two blocks at a time, here of no rows at all."""
    x, (_, R, bias) = normal(T, B, features), weights(op)
    W = normal(1, GATES[op] * H, features)
    for lengths in ([0, 3], [0, 0]):
        Y, *states = getattr(le.ops, op)(x, W, R, bias, np.array(lengths), normal(1, B, H))
        assert not Y[:, :, 0].any() and all(not state[:, 0].any() for state in states)
        assert bool(Y[:, :, 1].any()) == bool(lengths[1])


@pytest.mark.parametrize("op", GATES)
def test_no_steps_and_no_rows(op):
    for shape in ((0, B, I), (T, 0, I), (0, 0, I)):
        Y, *states = getattr(le.ops, op)(np.zeros(shape, np.float32), *weights(op))
        assert Y.shape == (shape[0], 1, shape[1], H)
        assert all(state.shape == (1, shape[1], H) and not state.any() for state in states)


@pytest.mark.parametrize("dtype", ("float16", "float32", "float64"))
def test_the_dtype_is_that_of_x(dtype, x):
    arrays = [array.astype(dtype) for array in (x, *weights("gru"))]
    Y, Y_h = le.ops.gru(*arrays)
    assert Y.dtype == Y_h.dtype == dtype
    exact = reference.gru(arrays[0].swapaxes(0, 1), *arrays[1:])[0].transpose(1, 2, 0, 3)
    # Half a unit in the last place of float16 below 1; the other two as above, float64 with 1e-16 for 6e-8.
    np.testing.assert_allclose(Y, exact, rtol=0, atol={"float16": 5e-4, "float32": 2e-6, "float64": 1e-14}[dtype])


def test_any_memory_layout_gives_the_same(x):
    W, R, bias = weights("lstm")
    wanted = le.ops.lstm(x, W, R, bias)[0]
    assert le.ops.lstm(x.astype(">f4"), W.astype(">f4"), R, bias)[0].dtype == np.float32
    turned = np.ascontiguousarray(W[..., ::-1])[..., ::-1]
    for given in ((x.astype(">f4"), W, R.astype(">f4"), bias),
                  (np.asfortranarray(x), turned, np.asfortranarray(R), bias),
                  (x.tolist(), W.tolist(), R.tolist(), bias.tolist())):
        np.testing.assert_array_equal(le.ops.lstm(*given)[0], wanted)
    for array in (x, W, R, bias):
        array.flags.writeable = False
    np.testing.assert_array_equal(le.ops.lstm(x, W, R, bias)[0], wanted)


def test_activations_take_their_alphas_in_order(x):
    """LeakyRelu and HardSigmoid take an alpha, HardSigmoid alone a beta; any case."""
    W, R, bias = weights("gru", 2)
    Y, _ = le.ops.gru(x, W, R, bias, direction="bidirectional",
                      activations=["HARDSIGMOID", "tanh", "Sigmoid", "leakyRelu"],
                      activation_alpha=[0.3, 0.1], activation_beta=np.array([0.4]))
    from lstm_engine.graph import SIGMOID, TANH, Activation
    functions = ((Activation.of("hard_sigmoid", 0.3, 0.4), TANH), (SIGMOID, Activation.of("leaky_relu", 0.1)))
    exact, _ = reference.gru(x.swapaxes(0, 1), W, R, bias, direction="bidirectional", activations=functions)
    np.testing.assert_allclose(Y, exact.transpose(1, 2, 0, 3), **CLOSE)


W, R, BIAS = weights("lstm")
X = normal(T, B, I)
REFUSED = {
    "X of rank 2": (dict(X=X[0]), le.ArgumentError, r"X: expected 3 dimensions, got shape \[2, 3\]"),
    "X of ints": (dict(X=X.astype(int)), le.ArgumentTypeError, "X: expected float32 or float64, got int64"),
    "X of objects": (dict(X=X.astype(object)), le.ArgumentTypeError,
                     "X: expected numbers, got an array of Python objects"),
    "X missing": (dict(X=None), le.ArgumentError, "X is required"),
    "X ragged": (dict(X=[[[1.0]], [[1.0], [2.0]]]), le.ArgumentError, "X: not a rectangular array"),
    "X masked": (dict(X=np.ma.masked_greater(X, 0)), le.ArgumentTypeError, "X: a masked array"),
    "X too long": (dict(X=np.lib.stride_tricks.as_strided(X, (2**31, 1, I), (0, 0, 4))), le.ArgumentError,
                   "X: no size may be above 2147483647"),
    "W missing": (dict(W=""), le.ArgumentError, "W is required"),
    "W of float64": (dict(W=W.astype(float)), le.ArgumentTypeError, "W: expected float32, the dtype of X, got float64"),
    "W of other features": (dict(W=W[..., :2]), le.GraphError, r"must be \[batch, time, 2\], got \[batch, time, 3\]"),
    "W of other rows": (dict(W=W[:, :15]), le.GraphError, r"W must be \[1, 16, I\].* got \[1, 15, 3\]"),
    "R not square": (dict(R=R[..., :3]), le.GraphError, r"R must be \[1, 16, 4\].* got \[1, 16, 3\]"),
    "R of two directions": (dict(R=np.concatenate([R, R])), le.GraphError,
                            r"R must be \[1, 4\*H, H\].* got \[2, 16, 4\]"),
    "R of no units": (dict(R=R[:, :0, :0]), le.GraphError, r"R must be \[1, 4\*H, H\], each size from 1"),
    "B of rank 1": (dict(B=BIAS[0]), le.ArgumentError, r"B: expected 2 dimensions, got shape \[32\]"),
    "B too short": (dict(B=BIAS[:, :31]), le.GraphError, r"B must be \[1, 32\].* got \[1, 31\]"),
    "P too short": (dict(P=normal(1, 11)), le.GraphError, r"P must be \[1, 12\].* got \[1, 11\]"),
    "lengths negative": (dict(sequence_lens=[-1, 2]), le.ArgumentError,
                         r"sequence_lens: expected 0 to 5, got \[-1, 2\]"),
    "lengths over": (dict(sequence_lens=[6, 2]), le.ArgumentError, r"sequence_lens: expected 0 to 5, got \[6, 2\]"),
    "lengths beyond int32": (dict(sequence_lens=[2**40, 2]), le.ArgumentError, "sequence_lens: expected 0 to 5"),
    "lengths too few": (dict(sequence_lens=[2]), le.ArgumentError, r"sequence_lens: expected shape \[2\], got \[1\]"),
    "lengths of floats": (dict(sequence_lens=[1.0, 2.0]), le.ArgumentTypeError, "expected whole numbers, got float64"),
    "lengths of bools": (dict(sequence_lens=[True, True]), le.ArgumentTypeError, "expected whole numbers, got bool"),
    "h of rank 2": (dict(initial_h=normal(B, H)), le.ArgumentError,
                    r"initial_h: expected shape \[1, 2, 4\], got \[2, 4\]"),
    "h of layout 1": (dict(initial_h=normal(B, 1, H)), le.ArgumentError,
                      r"expected shape \[1, 2, 4\], got \[2, 1, 4\]"),
    "h of float64": (dict(initial_h=np.zeros((1, B, H))), le.ArgumentTypeError,
                     "initial_h: expected float32, the dtype of X"),
    "c of other units": (dict(initial_c=normal(1, B, 5)), le.ArgumentError, r"initial_c: expected shape \[1, 2, 4\]"),
    "direction": (dict(direction="foward"), le.ArgumentError,
                  "direction is one of forward, reverse, bidirectional, not 'foward'"),
    "one direction of two": (dict(direction="bidirectional"), le.GraphError, r"R must be \[2, 4\*H, H\]"),
    "layout": (dict(layout=2), le.ArgumentError, "layout is 0 or 1, not 2"),
    "activation unknown": (dict(activations=["Sigmoid", "Tanh", "Foo"]), le.UnsupportedError,
                           "activation 'Foo' is not supported"),
    "activation of rows": (dict(activations=["Sigmoid", "Softmax", "Tanh"]), le.UnsupportedError,
                           "'Softmax' is not supported"),
    "activations too few": (dict(activations=["Sigmoid", "Tanh"]), le.ArgumentError,
                            "activations: expected 3 names, got 2"),
    "activations a string": (dict(activations="Sigmoid"), le.ArgumentTypeError, "expected a list of names"),
    "no alpha and beta": (dict(activations=["Sigmoid", "ScaledTanh", "Tanh"]), le.ArgumentError,
                          "activation ScaledTanh needs an alpha and a beta"),
    "alpha left over": (dict(activation_alpha=[1.0]), le.ArgumentError, "activation_alpha has more values"),
    "alpha not finite": (dict(activations=["HardSigmoid", "Tanh", "Tanh"], activation_alpha=[np.nan]), le.ArgumentError,
                         "activation_alpha: expected a list of finite numbers"),
    "alpha a number": (dict(activation_alpha=0.3), le.ArgumentError,
                       "activation_alpha: expected a list of finite numbers"),
    "input_forget": (dict(input_forget=2), le.ArgumentError, "input_forget is 0 or 1, not 2"),
    "hidden_size": (dict(hidden_size=3), le.ArgumentError, "hidden_size is 3; R has 4"),
    "threads": (dict(threads=0), le.ArgumentError, "threads must be a whole number"),
    **{f"clip {clip}": (dict(clip=clip), le.ArgumentError, "clip: expected a finite number above 0")
       for clip in (0, -1.0, float("inf"), float("nan"), "1", True, 10**400)},
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    changes, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message) as caught:
        le.ops.lstm(**{**dict(X=X, W=W, R=R, B=BIAS), **changes})
    assert isinstance(caught.value, (ValueError, TypeError))


def test_weights_of_another_operator_are_refused():
    with pytest.raises(le.GraphError, match="a multiple of 3 gates"):
        le.ops.gru(X, W, R)
    with pytest.raises(le.ArgumentError, match="linear_before_reset is 0 or 1"):
        le.ops.gru(X, *weights("gru"), linear_before_reset=3)
    with pytest.raises(TypeError):
        le.ops.rnn(X, *weights("rnn"), P=normal(1, 3 * H))
