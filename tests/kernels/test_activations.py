"""Activations through a model, on every instruction set, over the range of float32: the bounds of docs/numerics.md."""

import numpy as np
import pytest
from ulps import WIDTH, documented_bounds, every, exact, excess, runner

import lstm_engine as le
from lstm_engine.graph.activations import ACTIVATIONS, ROW_WISE

ISAS = le.info()["isas"]
BOUNDS = documented_bounds()


def numbers() -> np.ndarray:
    """Half a million numbers evenly over the bits of float32, and as many where activations bend."""
    rng = np.random.default_rng(0)
    near = rng.standard_normal(WIDTH * 100).astype(np.float32) * rng.choice(np.float32([0.01, 1, 8, 60]), WIDTH * 100)
    return np.concatenate([every(8191, first=77), near.reshape(-1, WIDTH)])


X = numbers()


def test_every_activation_has_a_documented_bound():
    assert set(BOUNDS) == set(ACTIVATIONS) - ROW_WISE


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", BOUNDS)
def test_error_is_within_the_documented_bound(name, isa):
    bound = BOUNDS[name]
    got, wanted = runner(bound.activation, isa)(X), exact(bound.activation, X)
    over = excess(bound, X, got, wanted)
    at = int(over.argmax())
    assert over.flat[at] <= 1, f"{name}({X.flat[at]!r}) is {got.flat[at]!r}, exactly {wanted.flat[at]!r}"


# The limits that each function has at -inf and +inf; 0 * inf has none, as in PyTorch.
LIMITS = {"linear": (-np.inf, np.inf), "sigmoid": (0, 1), "tanh": (-1, 1), "relu": (0, np.inf),
          "affine": (-np.inf, np.inf),
          "leaky_relu": (-np.inf, np.inf), "thresholded_relu": (0, np.inf), "scaled_tanh": (-1.25, 1.25),
          "hard_sigmoid": (0, 1), "elu": (-1.5, np.inf), "softsign": (-1, 1), "softplus": (0, np.inf),
          "selu": (np.float32(-1.7580993408473766), np.inf), "gelu": (np.nan, np.inf), "gelu_tanh": (np.nan, np.inf),
          "silu": (np.nan, np.inf), "exponential": (0, np.inf), "relu6": (0, 6), "mish": (np.nan, np.inf),
          "hard_silu": (np.nan, np.inf), "hard_tanh": (-1, 1), "log_sigmoid": (-np.inf, 0)}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", BOUNDS)
def test_infinities_and_nan(name, isa):
    x = np.full((1, WIDTH), np.nan, np.float32)
    x[0, 0], x[0, 1], x[0, 2], x[0, -1] = -np.inf, np.inf, 1, np.inf
    y = runner(BOUNDS[name].activation, isa)(x)[0]
    low, high = LIMITS[name]
    # 1e-6: the limits are stated in decimal, to about 7 digits.
    np.testing.assert_allclose([y[0], y[1], y[-1]], [low, high, high], rtol=1e-6)
    assert np.isfinite(y[2]) and np.isnan(y[3:-1]).all()


@pytest.mark.parametrize("isa", ISAS)
def test_zero_keeps_its_sign_where_the_function_is_odd(isa):
    x = np.zeros((1, WIDTH), np.float32)
    x[0, ::2] = -0.0
    for name in ("linear", "tanh", "softsign"):
        assert np.array_equal(np.signbit(runner(BOUNDS[name].activation, isa)(x)), np.signbit(x)), name


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_double_precision(name, isa):
    """3 ulp of double; 80-bit numbers are the measure, where the machine has them."""
    if np.finfo(np.longdouble).nmant < 63:
        pytest.skip("long double is no more exact than double here")
    rng = np.random.default_rng(1)
    x = rng.standard_normal((50, WIDTH)) * rng.choice([0.01, 1, 8, 300], (50, WIDTH))
    wide = x.astype(np.longdouble)
    wanted = 1 / (1 + np.exp(-wide)) if name == "sigmoid" else np.tanh(wide)
    got = runner(BOUNDS[name].activation, isa, "float64")(x)
    spacing = np.spacing(np.abs(wanted).astype(np.float64))
    assert float((np.abs(got - wanted) / spacing).max()) <= 3
