"""The oracle's activation functions against PyTorch's float64 ones, and at the edges."""

import math

import numpy as np
import pytest

from lstm_engine.errors import UnsupportedError
from lstm_engine.graph import ACTIVATIONS, Activation
from lstm_engine.reference import activate

GRID = np.concatenate([np.linspace(-12, 12, 481), [-800.0, -100.0, -1e-9, -0.0, 1e-9, 100.0, 800.0]])
# Float64 on both sides; the functions differ by a few roundings, near a zero of the result relative to their inputs.
TIGHT = dict(rtol=1e-13, atol=1e-15)


def test_the_vocabulary_against_torch():
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    theirs = {
        "linear": lambda x: x, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": F.relu,
        "affine": lambda x: torch.add(0.25, x, alpha=0.7), "leaky_relu": lambda x: F.leaky_relu(x, 0.7),
        "thresholded_relu": lambda x: F.threshold(x, 0.7, 0.0),
        "scaled_tanh": lambda x: torch.tanh(x.mul(0.25)).mul(0.7),
        "hard_sigmoid": lambda x: torch.add(0.25, x, alpha=0.7).clamp(0, 1), "elu": lambda x: F.elu(x, 0.7),
        "softsign": F.softsign, "softplus": F.softplus,
        "gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu, "exponential": torch.exp,
        "relu6": F.relu6, "mish": F.mish, "hard_silu": F.hardswish, "hard_tanh": F.hardtanh,
        "log_sigmoid": F.logsigmoid, "softmax": lambda x: F.softmax(x, -1),
        "log_softmax": lambda x: F.log_softmax(x, -1)}
    assert theirs.keys() | {"selu"} == ACTIVATIONS.keys()
    x = torch.tensor(np.stack([GRID, GRID[::-1] / 3]))
    for name, function in theirs.items():
        np.testing.assert_allclose(activate(Activation.of(name, 0.7, 0.25), x.numpy()), function(x).numpy(),
                                   **TIGHT, err_msg=name)
    # torch's selu has no parameters: it is compared at the defaults.
    np.testing.assert_allclose(activate(Activation.of("selu"), x.numpy()), F.selu(x).numpy(), **TIGHT)


def test_the_fixed_hard_sigmoid_of_pytorch_and_keras_3():
    torch = pytest.importorskip("torch")
    x = torch.tensor(GRID)
    np.testing.assert_allclose(activate(Activation.of("hard_sigmoid", 1 / 6, 0.5), GRID),
                               torch.nn.functional.hardsigmoid(x), **TIGHT)


@pytest.mark.parametrize("name, at_minus_infinity, at_infinity", [
    ("sigmoid", 0, 1), ("tanh", -1, 1), ("relu", 0, math.inf), ("leaky_relu", -math.inf, math.inf),
    ("elu", -1, math.inf), ("hard_sigmoid", 0, 1), ("softplus", 0, math.inf), ("exponential", 0, math.inf),
    ("relu6", 0, 6), ("hard_tanh", -1, 1), ("log_sigmoid", -math.inf, 0),
    ("thresholded_relu", 0, math.inf), ("scaled_tanh", -1, 1)])
def test_limits_at_infinity(name, at_minus_infinity, at_infinity):
    computed = activate(Activation.of(name), np.array([-np.inf, np.inf]))
    np.testing.assert_array_equal(computed, [at_minus_infinity, at_infinity])


@pytest.mark.parametrize("name", sorted(ACTIVATIONS.keys() - {"thresholded_relu"}))
def test_nan_stays_nan(name):
    assert np.isnan(activate(Activation.of(name), np.array([np.nan]))).all()


@pytest.mark.parametrize("name, x, expected", [
    ("thresholded_relu", 1.0, 0.0), ("thresholded_relu", math.nextafter(1.0, 2.0), math.nextafter(1.0, 2.0)),
    ("sigmoid", -745.0, math.exp(-745.0)), ("softplus", 800.0, 800.0), ("log_sigmoid", -800.0, -800.0),
    ("elu", -1e-300, -1e-300)])
def test_values_a_careless_formula_gets_wrong(name, x, expected):
    assert activate(Activation.of(name), np.array(x)) == expected


def test_softmax_of_large_numbers():
    np.testing.assert_array_equal(activate(Activation("softmax"), np.array([1e4, 1e4])), [0.5, 0.5])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_empty_array_is_legal(name):
    assert activate(Activation.of(name), np.zeros((0, 3))).shape == (0, 3)


def test_an_unknown_function_is_refused():
    with pytest.raises(UnsupportedError, match="activation 'swoosh' is not supported; supported: linear"):
        activate(Activation("swoosh"), np.zeros(1))
