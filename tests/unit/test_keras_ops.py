"""Operations of keras.ops in Functional models, each beside Keras itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("h5py")
pytest.importorskip("torch")
keras = pytest.importorskip("keras")

import lstm_engine as le
from lstm_engine.errors import UnsupportedError

ops = keras.ops
# Of [batch, 4, 6] numbers: what is written between parentheses is no part of the operation's name.
EACH: dict[str, Callable] = {
    "arccos": lambda x: ops.arccos(ops.tanh(x)), "arccosh": lambda x: ops.arccosh(x * x + 1.0),
    "arcsin": lambda x: ops.arcsin(ops.tanh(x)), "arcsinh": ops.arcsinh, "arctan": ops.arctan,
    "arctanh": lambda x: ops.arctanh(ops.tanh(x)), "cosh": ops.cosh, "sinh": ops.sinh, "tan": ops.tan, "erf": ops.erf,
    "log2": lambda x: ops.log2(x * x), "log10": lambda x: ops.log10(x * x), "deg2rad": ops.deg2rad,
    "rad2deg": ops.rad2deg, "exp2": ops.exp2, "round": ops.round, "trunc": ops.trunc, "fabs": ops.fabs,
    "cbrt": ops.cbrt, "sinc": ops.sinc, "log1p": lambda x: ops.log1p(x * x), "expm1": ops.expm1,
    "isnan": ops.isnan, "isinf": ops.isinf, "isposinf": ops.isposinf, "isneginf": ops.isneginf,
    "isfinite": ops.isfinite, "tanh_shrink": ops.tanh_shrink, "hard_shrink": ops.hard_shrink,
    "soft_shrink": lambda x: ops.soft_shrink(x, 0.3), "threshold": lambda x: ops.threshold(x, 0.2, -1.0),
    "sparse_plus": ops.sparse_plus, "sparse_sigmoid": ops.sparse_sigmoid, "squareplus": ops.squareplus,
    "celu": lambda x: ops.celu(x, 0.7), "nan_to_num": lambda x: ops.nan_to_num(ops.log(x)), "copy": ops.copy,
    "stop_gradient": ops.stop_gradient, "swish": ops.swish, "hard_swish": ops.hard_swish,
    "logaddexp": lambda x: ops.logaddexp(x * 40, x[:, :1]),
    "divide_no_nan": lambda x: ops.divide_no_nan(x, ops.relu(x)),
    "logical_xor": lambda x: ops.logical_xor(x > 0, x > 0.5)}
ALONG: dict[str, Callable] = {
    "glu": ops.glu, "glu (steps)": lambda x: ops.glu(x, 1), "var": lambda x: ops.var(x, axis=1),
    "std": lambda x: ops.std(x, axis=[1, 2], keepdims=True), "logsumexp": lambda x: ops.logsumexp(x * 100, axis=-1),
    "average": lambda x: ops.average(x, axis=2), "amax": lambda x: ops.amax(x, axis=1),
    "amin": lambda x: ops.amin(x, axis=1, keepdims=True), "ptp": lambda x: ops.ptp(x, axis=2),
    "norm": lambda x: ops.norm(x, axis=2),
    "norm (1)": lambda x: ops.norm(x, ord=1, axis=1, keepdims=True), "sort": ops.sort,
    "sort (steps)": lambda x: ops.sort(x, axis=1), "top_k": lambda x: ops.top_k(x, 3),
    "moveaxis": lambda x: ops.moveaxis(x, 1, 2), "roll": lambda x: ops.roll(x, 2, axis=1),
    "roll (back)": lambda x: ops.roll(x, -7, axis=2), "diff": lambda x: ops.diff(x, axis=1),
    "diff (twice)": lambda x: ops.diff(x, n=2), "tril": ops.tril, "triu": lambda x: ops.triu(x, k=1),
    "take_along_axis": lambda x: ops.take_along_axis(x, ops.argmax(x, axis=2, keepdims=True), axis=2),
    "full_like": lambda x: ops.full_like(x, 3), "hstack": lambda x: ops.hstack([x, x * 2]),
    "dstack": lambda x: ops.dstack([x, x * 2]), "einsum": lambda x: ops.einsum("...ij,...kj->...ik", x, x),
    "einsum (one)": lambda x: ops.einsum("b...->b...", x)}
SPECIAL = np.array([0.0, 0.5, -0.5, 1.5, 2.5, -1.0, 1e-6, -1e-6, 30.0, -30.0, np.inf, -np.inf, np.nan, 1.0, -2.5, 0.2])


def compared(cases: dict[str, Callable], x: np.ndarray, tmp_path) -> None:
    """One model of many outputs, from a file."""
    given = keras.Input(x.shape[1:])
    results = [made for case in cases.values() for made in keras.tree.flatten(case(given))]
    names = [name for name, case in cases.items() for _ in keras.tree.flatten(case(given))]
    model = keras.Model(given, results)
    model.save(tmp_path / "m.keras")
    made = le.convert(tmp_path / "m.keras").predict(x)
    wanted = model.predict(x, verbose=0)
    with np.errstate(all="ignore"):
        for name, want, ours in zip(names, wanted, made.values(), strict=True):
            assert ours.shape == want.shape, name
            np.testing.assert_allclose(np.asarray(ours, np.float64), np.asarray(want, np.float64), rtol=3e-5, atol=3e-6,
                                       err_msg=name)


def test_operations_on_each_element(tmp_path):
    compared(EACH, np.random.default_rng(0).standard_normal((3, 4, 6)).astype(np.float32), tmp_path)


def test_operations_on_special_numbers(tmp_path):
    """Ties, halves, what is no number; infinite angles have no tangent, and backends differ in some of these."""
    compared({name: case for name, case in EACH.items() if name not in ("tan", "sinc", "threshold")},
             SPECIAL.astype(np.float32)[None, None], tmp_path)


def test_operations_along_axes(tmp_path):
    compared(ALONG, np.random.default_rng(1).standard_normal((3, 4, 6)).astype(np.float32), tmp_path)


def test_the_logarithm_near_zero_keeps_its_places(tmp_path):
    x = np.array([[[1e-7, -3e-8, 1e-20, 0.0]]], np.float32)
    given = keras.Input((1, 4))
    keras.Model(given, [ops.log1p(given), ops.expm1(given)]).save(tmp_path / "m.keras")
    for made, exact in zip(le.convert(tmp_path / "m.keras").predict(x).values(), (np.log1p, np.expm1)):
        np.testing.assert_allclose(made, exact(x.astype(np.float64)), rtol=1e-6)


@pytest.mark.parametrize("case, message", [
    (lambda x: ops.sort(x, axis=0), "along axis 0 .* is not supported"),
    (lambda x: ops.roll(x, 1), "shift 1 along None is not supported"),
    (lambda x: ops.var(x, axis=0), "over the batch is not supported"),
    (lambda x: ops.norm(x, ord="fro", axis=(1, 2)), "ord fro over the axes .* is not supported"),
    (lambda x: ops.floor_divide(x, 2.0), "FloorDivide. of floating-point numbers is not supported"),
    (lambda x: ops.moveaxis(x, 0, 1), "of the batch is not supported")])
def test_operations_that_are_refused(case, message, tmp_path):
    given = keras.Input((4, 6))
    keras.Model(given, case(given)).save(tmp_path / "m.keras")
    with pytest.raises(UnsupportedError, match=message):
        le.convert(tmp_path / "m.keras")


@pytest.mark.parametrize("make", [
    lambda x: keras.layers.RMSNormalization(epsilon=1e-3)(x), lambda x: keras.layers.RMSNormalization()(x),
    lambda x: keras.layers.RMSNormalization(axis=[1, 2])(x),
    lambda x: keras.layers.GroupQueryAttention(5, 4, 2)(x, x),
    lambda x: keras.layers.GroupQueryAttention(3, 6, 1, use_bias=False)(x, x, use_causal_mask=True)])
@pytest.mark.parametrize("form", ["m.keras", "m.h5", "live"])
def test_normalization_by_squares_and_attention_in_groups(make, form, tmp_path):
    given = keras.Input((4, 6))
    model = keras.Model(given, make(given))
    rng = np.random.default_rng(2)
    for variable in model.weights:
        variable.assign(0.5 * rng.standard_normal(tuple(variable.shape)) + 0.1)
    source = model if form == "live" else tmp_path / form
    if form != "live":
        model.save(source)
    x = rng.standard_normal((3, 4, 6)).astype(np.float32)
    np.testing.assert_allclose(le.convert(source).predict(x), model.predict(x, verbose=0), atol=2e-6)


@pytest.mark.parametrize("setting", [{"use_gate": True}, {"sliding_window": 2}])
def test_attention_in_groups_of_other_kinds(setting, tmp_path):
    given = keras.Input((4, 6))
    keras.Model(given, keras.layers.GroupQueryAttention(5, 4, 2, **setting)(given, given)).save(tmp_path / "m.keras")
    with pytest.raises(UnsupportedError, match=f"its setting '{next(iter(setting))}' is"):
        le.convert(tmp_path / "m.keras")
