"""Streams of models with convolutions, pools, padding and cropping over time, against Keras on the whole sequence.

In float64, see keras_models.EXACT: whatever the pieces, the numbers must be those of the sequence, and as many.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
keras = pytest.importorskip("keras")

from keras import layers as L
from keras_models import EXACT, floats, keras_outputs, randomise
from streamed import cuts, in_pieces, joined

import lstm_engine as le

pytestmark = pytest.mark.usefixtures("double_precision")

BATCH, STEPS, FEATURES = 2, 24, 4


def through(x: Any, *layers: Any) -> Any:
    for layer in layers:
        x = layer(x)
    return x


def residual(x: Any) -> Any:
    """Causal, dilated blocks with a way past each, as temporal convolutional networks have them."""
    for dilation in (1, 2, 4):
        y = L.Conv1D(6, 2, padding="causal", dilation_rate=dilation, activation="relu")(x)
        y = L.Conv1D(6, 2, padding="causal", dilation_rate=dilation)(y)
        x = L.Activation("tanh")(L.Add()([y, L.Conv1D(6, 1)(x)]))
    return L.Dense(3)(x)


def gated(x: Any) -> Any:
    y = L.ZeroPadding1D((3, 0))(x)
    return L.Add()([x, L.Multiply()([L.Conv1D(4, 4, activation="tanh")(y), L.Conv1D(4, 4, activation="sigmoid")(y)])])


def cropped(x: Any) -> Any:
    y = L.Conv1D(4, 3, dilation_rate=2)(x)
    y = L.Add()([y, L.Cropping1D((4, 0))(x)])
    return L.LSTM(5, return_sequences=True)(y)


def chomped(x: Any) -> Any:
    """Padded on both ends, and what that makes at the end cut off."""
    return L.Cropping1D((0, 2))(L.Conv1D(4, 3)(L.ZeroPadding1D(2)(x)))


def of_several_widths(x: Any) -> Any:
    a, b, c = (L.LSTM(3)(L.Conv1D(4, size)(x)) for size in (1, 3, 6))
    return L.Dense(2)(L.Concatenate()([a, b, c]))


def two_outputs(x: Any) -> Any:
    y = L.Conv1D(4, 3, activation="relu")(x)
    return [y, L.Conv1D(2, 4)(y), L.GRU(3, return_sequences=True)(x)]


# Layers, and in multiples of how many steps their pieces come.
CASES: dict[str, tuple[Callable[[Any], Any], int]] = {
    "causal": (lambda x: through(
        x, L.Conv1D(5, 3, padding="causal", activation="relu"), L.LSTM(6, return_sequences=True)), 1),
    "valid": (lambda x: through(
        x, L.Conv1D(5, 3, dilation_rate=2, activation="softmax"), L.GRU(6, return_sequences=True)), 1),
    "the last step": (lambda x: through(
        x, L.Conv1D(5, 4, activation="relu"), L.LSTM(4), L.Dense(2)), 1),
    "no recurrent layer": (lambda x: through(
        x, L.Conv1D(3, 2, padding="causal"), L.Dense(2)), 1),
    "normalised": (lambda x: through(
        x, L.ZeroPadding1D((2, 0)), L.Conv1D(5, 3), L.BatchNormalization(), L.LayerNormalization(),
                              L.LSTM(3, return_sequences=True)), 1),
    "by channel": (lambda x: through(
        x, L.SeparableConv1D(6, 3), L.DepthwiseConv1D(2, activation="elu")), 1),
    "groups": (lambda x: through(
        x, L.Conv1D(6, 3, groups=2, padding="causal"), L.PReLU(shared_axes=[1])), 1),
    "pools": (lambda x: through(
        x, L.MaxPooling1D(3, strides=1), L.AveragePooling1D(2, strides=1), L.SimpleRNN(
        3, return_sequences=True)), 1),
    "window of one": (lambda x: through(
        x, L.Conv1D(3, 1), L.LSTM(3, return_sequences=True)), 1),
    "cropping alone": (lambda x: through(
        x, L.Cropping1D((2, 3)), L.LSTM(3, return_sequences=True)), 1),
    "residual": (residual, 1),
    "gated": (gated, 1),
    "cropped": (cropped, 1),
    "chomped": (chomped, 1),
    "of several widths": (of_several_widths, 1),
    "two outputs": (two_outputs, 1),
    "strides": (lambda x: through(
        x, L.Conv1D(5, 3, strides=2), L.Conv1D(5, 2, strides=2), L.LSTM(3, return_sequences=True)), 4),
    "causal strides": (lambda x: through(
        x, L.Conv1D(5, 4, strides=2, padding="causal"), L.LSTM(3)), 2),
    "pools of several": (lambda x: through(
        x, L.Conv1D(5, 3), L.MaxPooling1D(2), L.Conv1D(4, 3, padding="causal"),
                                    L.AveragePooling1D(3), L.LSTM(3, return_sequences=True)), 6),
    "strides past the window": (lambda x: through(
        x, L.MaxPooling1D(2, strides=3), L.LSTM(3, return_sequences=True)), 3),
}


def compare(model: Any, ours: le.Model, x: np.ndarray, at_once: int, seed: int) -> None:
    wanted = dict(zip(ours.outputs, keras_outputs(model, [x]), strict=True))
    for sizes in cuts(np.random.default_rng(seed), x.shape[1], at_once):
        for name, parts in in_pieces(ours, x, sizes).items():
            made, right = joined(parts), wanted[name]
            if right.ndim == made.ndim:
                # Of strided windows the last may reach past the whole multiples that a stream takes.
                assert len(right[0]) - (at_once > 1) <= len(made[0]) <= len(right[0]), sizes
                right = right[:, :made.shape[1]]
                np.testing.assert_allclose(made, right, rtol=0, atol=EXACT, err_msg=f"{name}, {sizes}")
            else:                               # one for the sequence so far, after each step that makes one
                np.testing.assert_allclose(made[:, -1], right, rtol=0, atol=EXACT, err_msg=f"{name}, {sizes}")


@pytest.mark.parametrize("steps", [None, STEPS], ids=["any steps", "fixed"])
@pytest.mark.parametrize("case", CASES)
def test_pieces_are_the_whole(case: str, steps: int | None) -> None:
    call, at_once = CASES[case]
    x = keras.Input((steps, FEATURES), dtype="float64")
    model = randomise(keras.Model(x, call(x)))
    compare(model, le.convert(model), floats(BATCH, STEPS, FEATURES), at_once, seed=len(case))


def test_each_prefix_of_the_last_step() -> None:
    """What a layer gives for the last step is given after every step, that of the sequence so far; none before there
    is a window."""
    x = keras.Input((None, FEATURES), dtype="float64")
    model = randomise(keras.Model(x, L.Dense(2)(L.LSTM(3)(L.Conv1D(4, 4)(x)))))
    numbers = floats(BATCH, 9, FEATURES)
    made, = in_pieces(le.convert(model), numbers, [1, 1, 2, 0, 3]).values()
    assert [part.shape for part in made] == [(BATCH, n, 2) for n in (0, 0, 1, 0, 3, 2)]
    wanted = np.stack([keras_outputs(model, [numbers[:, :t]])[0] for t in range(4, 10)], 1)
    np.testing.assert_allclose(joined(made), wanted, rtol=0, atol=EXACT)


@pytest.mark.parametrize("steps", [None, 10], ids=["any steps", "fixed"])
def test_time_beside_frequency(steps: int | None) -> None:
    """Windows over time and bands; only those of time have a past. Strides and padding of bands stay."""
    x = keras.Input((steps, 8, 2), dtype="float64")
    y = L.Conv2D(3, (3, 3), activation="relu")(L.ZeroPadding2D(((2, 0), (1, 1)))(x))
    y = L.MaxPooling2D((1, 2))(L.Conv2D(4, (1, 3), strides=(1, 1), padding="same")(y))
    y = L.Conv2D(2, (2, 2), dilation_rate=(3, 1))(y)
    model = randomise(keras.Model(x, y))
    compare(model, le.convert(model), floats(BATCH, 10, 8, 2), 1, seed=1)


def two_inputs(steps: int | None) -> Any:
    x, z = (keras.Input((steps, size), dtype="float64") for size in (3, 2))
    y = L.Concatenate()([L.Conv1D(4, 3)(x), L.Cropping1D((2, 0))(z)])
    return randomise(keras.Model([x, z], L.LSTM(3, return_sequences=True)(L.Conv1D(4, 2, padding="causal")(y))))


def test_two_inputs_of_one_number_of_steps() -> None:
    model = two_inputs(12)
    ours, x, z = le.convert(model), floats(BATCH, 12, 3), floats(BATCH, 12, 2, seed=5)
    wanted, = keras_outputs(model, [x, z])
    for sizes in cuts(np.random.default_rng(0), 12):
        made, = in_pieces(ours, dict(zip(ours.inputs, (x, z), strict=True)), sizes).values()
        np.testing.assert_allclose(joined(made), wanted, rtol=0, atol=EXACT)


def test_two_inputs_of_any_steps_may_have_different_ones() -> None:
    with pytest.raises(le.UnsupportedError, match="cannot run step by step"):
        le.convert(two_inputs(None)).stream(BATCH)


def random_layers(rng: np.random.Generator, x: Any) -> Any:
    """A stack in which every layer keeps or drops steps in front, with ways past it where both ends still meet."""
    for _ in range(rng.integers(2, 6)):
        size, dilation = int(rng.integers(1, 5)), int(rng.integers(1, 4))
        units = int(rng.integers(1, 6))
        reach = (size - 1) * dilation
        kind = rng.integers(0, 8)
        if kind == 0:
            x = L.Conv1D(units, size, padding="causal", dilation_rate=dilation, activation="relu")(x)
        elif kind == 1:
            x = L.Conv1D(units, size, dilation_rate=dilation)(x)
        elif kind == 2:
            x = L.MaxPooling1D(size, strides=1)(x)
        elif kind == 3:
            x = L.Add()([L.Conv1D(x.shape[-1], size, dilation_rate=dilation)(x), L.Cropping1D((reach, 0))(x)])
        elif kind == 4:
            x = L.Concatenate()([x, L.Conv1D(units, size, padding="causal", dilation_rate=dilation)(x)])
        elif kind == 5:
            x = L.GRU(units, return_sequences=True)(x)
        elif kind == 6:
            x = L.Conv1D(units, size)(L.ZeroPadding1D((min(size - 1, 2), 0))(x))
        else:
            x = L.Cropping1D((0, 1))(L.AveragePooling1D(size, strides=1)(x))
    return L.LSTM(3, return_sequences=bool(rng.integers(0, 2)))(x)


@pytest.mark.parametrize("seed", range(20))
def test_random_stacks(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    steps = None if seed % 2 else 60
    x = keras.Input((steps, FEATURES), dtype="float64")
    model = randomise(keras.Model(x, random_layers(rng, x)), seed)
    model.save(tmp_path / "model.keras")        # a live one is tried on a few steps, which may be too few
    compare(model, le.convert(tmp_path / "model.keras"), floats(BATCH, 60, FEATURES), 1, seed)


REFUSED = {
    "same": (lambda x: L.Conv1D(3, 3, padding="same")(x),
             r"'.*' needs steps to come: node '.*' \(Conv\) pads 1 steps at the end.*padding=\"causal\""),
    "same, then recurrent": (lambda x: L.LSTM(3)(L.Conv1D(3, 4, padding="same")(x)),
                             r"\(LSTM\) goes through steps to come: node '.*' \(Conv\) pads 2 steps"),
    "same with strides": (lambda x: L.LSTM(3)(L.Conv1D(3, 3, strides=2, padding="same")(x)),
                          r"\(Conv\) takes windows every 2 steps and pads the end"),
    "steps apart": (lambda x: L.Add()([L.Cropping1D((0, 2))(x), L.Conv1D(FEATURES, 3)(x)]), None),
    "not aligned": (lambda x: L.Add()([L.Cropping1D((1, 1))(x), L.Conv1D(FEATURES, 3)(x)]), None),
    "too much padding": (lambda x: L.Conv1D(3, 3)(L.ZeroPadding1D((3, 0))(x)),
                         r"\(Conv\) has 3 steps of padding in front of the first, and windows of 3; pad by 2 at most"),
    "padding that nobody reads": (
        lambda x: L.LSTM(3)(L.ZeroPadding1D((2, 0))(x)), "takes padding that stands in front"),
    "padding behind": (lambda x: L.LSTM(3)(L.ZeroPadding1D((0, 2))(x)), r"goes through steps to come: node .* \(Pad\)"),
    "padding last": (
        lambda x: L.ZeroPadding1D((2, 0))(L.Conv1D(3, 2)(x)), r"begins with padding before the first step"),
    "the mean of all": (lambda x: L.GlobalAveragePooling1D()(L.Conv1D(3, 2)(x)), r"pools over all steps"),
    "backwards": (lambda x: L.Bidirectional(L.LSTM(2))(L.Conv1D(3, 2)(x)), r"is (bidirectional|reverse)"),
    "several rates": (lambda x: L.Concatenate(axis=1)([L.MaxPooling1D(2)(x), x]), r"works across time|for every"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name(case: str) -> None:
    call, message = REFUSED[case]
    x = keras.Input((None, FEATURES), dtype="float64")
    model = randomise(keras.Model(x, call(x)))
    ours = le.convert(model)
    if message is None:                 # delayed by as many steps as the other, so each end meets
        compare(model, ours, floats(BATCH, STEPS, FEATURES), 1, seed=0)
        return
    with pytest.raises(le.UnsupportedError, match="cannot run step by step.*" + message):
        ours.stream(BATCH)
