"""Layers that give other numbers on another backend of Keras: the model's own where it is known, else it is said."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

pytest.importorskip("h5py")
pytest.importorskip("torch")
keras = pytest.importorskip("keras")

import lstm_engine as le
from lstm_engine.errors import UnsupportedError
from lstm_engine.importers import import_graph

pytestmark = pytest.mark.skipif(keras.backend.backend() != "torch", reason="Keras runs on another backend here")


def averaged(shape: tuple, pool: object, strides: int, **more: object):
    """A model of one AveragePooling with "same" padding, and an input for it."""
    kind = getattr(keras.layers, f"AveragePooling{len(shape) - 1}D")
    model = keras.Sequential([keras.Input(shape), kind(pool, strides, "same", **more)])
    sizes = [6 if size is None else size for size in shape]
    return model, np.random.default_rng(3).standard_normal((2, *sizes)).astype(np.float32)


@pytest.mark.parametrize("shape, pool, strides, differs", [
    ((6, 2), 4, 1, True), ((None, 2), 4, 1, True), ((6, 2), 3, 1, False), ((8, 2), 3, 2, True), ((7, 2), 3, 2, False),
    ((None, 2), 3, 2, True), ((None, 2), 2, 2, False), ((5, 6, 2), (3, 2), 1, True), ((6, 6, 1), (3, 2), 3, False),
    ((4, 5, 3, 1), (2, 3, 1), 2, False)])
def test_padding_that_is_uneven(shape, pool, strides, differs, tmp_path):
    """On PyTorch the edges are repeated where the ends of an axis are not padded alike; elsewhere they are left out.

    A .keras file says no backend: it is as elsewhere, which is said where it makes a difference. An .h5 file and a live
    model say it.
    """
    model, x = averaged(shape, pool, strides)
    wanted = model.predict(x, verbose=0)
    model.save(tmp_path / "m.keras")
    model.save(tmp_path / "m.h5")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        of_file = le.convert(tmp_path / "m.keras")
    noted = ["depends on the backend of Keras" in str(warning.message) for warning in said]
    assert any(noted) == differs
    if not differs:
        np.testing.assert_allclose(of_file.predict(x), wanted, atol=1e-6)
    elif None not in shape:
        assert np.abs(of_file.predict(x) - wanted).max() > 1e-3
    if (None in shape) and strides > 1 and differs:
        for source in (model, tmp_path / "m.h5"):
            with pytest.raises(UnsupportedError, match="padding 'same' over space .* on PyTorch.*supported: an Input"):
                import_graph(source)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for source in (model, tmp_path / "m.h5"):
            np.testing.assert_allclose(le.convert(source).predict(x), wanted, atol=1e-6)


def test_the_mean_of_a_file_is_of_what_is_there(tmp_path):
    """By hand: [1, 2, 3, 4] in windows of 4 whose first has one place of padding in front, the last two behind."""
    model, _ = averaged((4, 1), 4, 1)
    model.save(tmp_path / "m.keras")
    with pytest.warns(UserWarning, match="what average_pooling1d.* gives at the edges depends on the backend"):
        made = le.convert(tmp_path / "m.keras").predict(np.array([[[1.0], [2], [3], [4]]], np.float32))
    np.testing.assert_allclose(made[0, :, 0], [2, 2.5, 3, 3.5])
