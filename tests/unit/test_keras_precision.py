"""Policies of fewer bits are computed in float32, which is said; what Keras quantised is refused by that name."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

pytest.importorskip("h5py")
pytest.importorskip("torch")
keras = pytest.importorskip("keras")

import lstm_engine as le
from lstm_engine.errors import FormatError, LstmEngineError, UnsupportedError

L = keras.layers
# The last place of each type at 1, and as many of them as rounding after every one of some ten steps may add up to.
LAST_PLACE = {"mixed_float16": 2.0**-10, "mixed_bfloat16": 2.0**-7, "float16": 2.0**-10, "bfloat16": 2.0**-7}
PLACES = 8
X = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)


def built(policy: str) -> keras.Model:
    # On PyTorch's CPU recurrent weights of half precision cannot be initialised: of the pure types without these.
    middle = [L.LSTM(4, return_sequences=True)] if policy.startswith("mixed") else []
    keras.config.set_dtype_policy(policy)
    try:
        model = keras.Sequential([keras.Input((None, 3)), L.Conv1D(4, 3), *middle, L.LayerNormalization(), L.Dense(2)])
    finally:
        keras.config.set_dtype_policy("float32")
    rng = np.random.default_rng(1)
    for variable in model.weights:
        variable.assign(0.4 * rng.standard_normal(tuple(variable.shape)))
    return model


@pytest.mark.parametrize("form", ["live", "m.keras", "m.h5"])
@pytest.mark.parametrize("policy", LAST_PLACE)
def test_policies_of_fewer_bits(policy, form, tmp_path):
    model = built(policy)
    source = model if form == "live" else tmp_path / form
    if form != "live":
        model.save(source)
    if (policy, form) == ("bfloat16", "m.h5"):
        with pytest.raises(FormatError, match=r"holds .*V2; expected numbers .bfloat16. .*a .keras file says so"):
            le.convert(source)
        return
    policies = [layer.dtype_policy.name for layer in model.layers]
    with pytest.warns(UserWarning, match=rf"fewer bits .{policy}. are computed in float32: .* apart from Keras'"):
        made = le.convert(source)
    assert [layer.dtype_policy.name for layer in model.layers] == policies
    wanted = model.predict(X, verbose=0).astype(np.float32)
    np.testing.assert_allclose(made.predict(X), wanted, atol=PLACES * LAST_PLACE[policy], rtol=0)


def test_a_live_model_of_fewer_bits_is_held_to_its_meaning():
    """An error that float16 would hide is found: both are compared in float32."""
    model = built("mixed_float16")
    right = model.layers[-1].call
    model.layers[-1].call = lambda x, training=None: right(x) + 2.0**-11
    with pytest.raises(LstmEngineError, match="differs from the Keras model by"):
        le.convert(model)


def test_float32_is_not_spoken_of(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        le.convert(built("float32"))


@pytest.mark.filterwarnings("ignore:the JSON names no version")
@pytest.mark.parametrize("form", ["live", "m.keras", "m.h5", "m.json"])
def test_what_keras_quantised(form, tmp_path):
    model = keras.Sequential([keras.Input((3,)), L.Dense(4, name="first"), L.Dense(2)])
    model.quantize("int8")
    source = model if form == "live" else tmp_path / form
    if form == "m.json":
        source.write_text(model.to_json())
        model.save_weights(tmp_path / "m.weights.h5")
    elif form != "live":
        model.save(source)
    with pytest.raises(UnsupportedError, match=r"layer 'first' \(Dense\) is quantised by Keras .*model.quantize"):
        le.convert(source)


@pytest.mark.filterwarnings("ignore:the JSON names no version")
def test_json_of_a_model_without_weights(tmp_path):
    model = keras.Sequential([keras.Input((None, 3)), L.Activation("tanh"), L.GlobalAveragePooling1D()])
    (tmp_path / "m.json").write_text(model.to_json())
    model.save_weights(tmp_path / "m.weights.h5")
    np.testing.assert_allclose(le.convert(tmp_path / "m.json").predict(X), np.tanh(X).mean(axis=1), atol=1e-6)
