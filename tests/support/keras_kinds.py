"""Kinds of Keras models: layers and wirings, in the forms that Keras keeps them in; each is right, or refused by name.

What is right is what Keras gives on its own backend, for weights and inputs that are random.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers as L
from keras import ops
from kind_rows import REFUSED, RIGHT, WRONG, Row

import lstm_engine as le
from lstm_engine.errors import LstmEngineError

FORMS = ("keras", "h5", "json", "live")
# float32: some hundred terms summed in another order, of numbers of about 1.
TOLERANCE = 2e-5
Sequence, Image, Ids, Vector = (6, 4), (6, 5, 3), "ids", (4,)


@dataclass(frozen=True)
class Kind:
    """make: what the tensors of these inputs become; refused: what the message says of a kind that is not supported."""

    name: str
    inputs: tuple[Any, ...]
    make: Callable[..., Any]
    forms: tuple[str, ...]
    refused: str = ""


def _of_sequences() -> dict[str, Callable]:
    cell = {"recurrent_activation": "hard_sigmoid", "activation": "softsign"}
    return {
        "LSTM": L.LSTM(5), "LSTM, every step": L.LSTM(5, return_sequences=True), "LSTM, other gates": L.LSTM(3, **cell),
        "LSTM, no bias": L.LSTM(3, use_bias=False), "LSTM, backwards": L.LSTM(3, go_backwards=True),
        "GRU": L.GRU(5), "GRU, reset before": L.GRU(5, reset_after=False),
        "SimpleRNN": L.SimpleRNN(5, activation="relu"),
        "RNN of cells": L.RNN([L.LSTMCell(3), L.GRUCell(4), L.SimpleRNNCell(2)]),
        "Bidirectional": L.Bidirectional(L.LSTM(3)), "Bidirectional, sum": L.Bidirectional(L.GRU(3), merge_mode="sum"),
        "Bidirectional, two kinds": L.Bidirectional(L.LSTM(3), backward_layer=L.GRU(3, go_backwards=True)),
        "TimeDistributed": L.TimeDistributed(L.Dense(3, activation="gelu")), "EinsumDense": L.EinsumDense(
            "abc,cd->abd", (None, 3), bias_axes="d"),
        "Masking": lambda x: L.LSTM(3)(L.Masking()(x)), "Conv1D": L.Conv1D(3, 3, padding="same"),
        "Conv1D, causal": L.Conv1D(3, 3, padding="causal", dilation_rate=2), "Conv1D, groups": L.Conv1D(4, 3, groups=2),
        "SeparableConv1D": L.SeparableConv1D(3, 3), "DepthwiseConv1D": L.DepthwiseConv1D(3, depth_multiplier=2),
        "Conv1DTranspose": L.Conv1DTranspose(3, 3, strides=2), "MaxPooling1D": L.MaxPooling1D(2),
        "AveragePooling1D": L.AveragePooling1D(2), "GlobalAveragePooling1D": L.GlobalAveragePooling1D(),
        "GlobalMaxPooling1D": L.GlobalMaxPooling1D(), "UpSampling1D": L.UpSampling1D(2),
        "ZeroPadding1D": L.ZeroPadding1D(2), "Cropping1D": L.Cropping1D(1), "Flatten": L.Flatten(),
        "Reshape": L.Reshape((3, 8)), "Permute": L.Permute((2, 1)), "BatchNormalization": L.BatchNormalization(),
        "LayerNormalization": L.LayerNormalization(), "GroupNormalization": L.GroupNormalization(2),
        "RMSNormalization": L.RMSNormalization(), "UnitNormalization": L.UnitNormalization(),
        "SpectralNormalization": L.SpectralNormalization(L.Dense(3)), "Rescaling": L.Rescaling(2.0, 1.0),
        "PReLU": L.PReLU(), "ReLU": L.ReLU(max_value=1.0, negative_slope=0.1), "LeakyReLU": L.LeakyReLU(),
        "ELU": L.ELU(0.5), "Softmax": L.Softmax(), "Dropout": L.Dropout(0.5), "GaussianNoise": L.GaussianNoise(1.0),
        "Attention": lambda x: L.Attention(use_scale=True)([x, x]),
        "AdditiveAttention": lambda x: L.AdditiveAttention()([x, x]),
        "MultiHeadAttention": lambda x: L.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True),
        "GroupQueryAttention": lambda x: L.GroupQueryAttention(3, 4, 2)(x, x), "Dot": lambda x: L.Dot(2)([x, x]),
        "states handed on": lambda x: L.LSTM(3)(x, initial_state=L.LSTM(3, return_state=True)(x)[1:]),
        "joining": lambda x: L.Concatenate()([L.Add()([x, x]), L.Multiply()([x, x]), L.Maximum()([x, x * 2])]),
        "operations": lambda x: ops.mean(ops.square(x[:, 1:] - x[:, :-1]), axis=1),
        "several outputs": lambda x: [L.Dense(2)(x), L.LSTM(2)(x)],
        **{f"Dense, {name}": L.Dense(3, activation=name) for name in ("tanh", "swish", "selu", "softplus", "mish")}}


def _of_images() -> dict[str, Callable]:
    return {"Conv2D": L.Conv2D(3, 3, strides=2, padding="same"), "DepthwiseConv2D": L.DepthwiseConv2D(3),
            "SeparableConv2D": L.SeparableConv2D(3, 3), "Conv2DTranspose": L.Conv2DTranspose(2, 3, padding="same"),
            "MaxPooling2D": L.MaxPooling2D(2), "AveragePooling2D, uneven": L.AveragePooling2D(3, 2, "same"),
            "GlobalAveragePooling2D": L.GlobalAveragePooling2D(), "UpSampling2D": L.UpSampling2D(2),
            "ConvLSTM1D": L.ConvLSTM1D(2, 3), "ZeroPadding2D": L.ZeroPadding2D(1), "RandomFlip": L.RandomFlip(),
            **{f"{kind}, at inference": make for kind, make in (
                ("RandomErasing", L.RandomErasing()), ("RandomHue", L.RandomHue(0.5)), ("RandAugment", L.RandAugment()),
                ("MixUp", L.MixUp()), ("RandomShear", L.RandomShear(0.3)), ("AugMix", L.AugMix()))}}


def _refused() -> dict[str, tuple[Any, Callable, str]]:
    """Inputs, how it is made, and what the message says."""
    return {"Lambda": (Sequence, L.Lambda(lambda x: x * 2), "Lambda.* is refused"),
            "a class of one's own": (Sequence, _Own(), "is of the custom class"),
            "Resizing": (Image, L.Resizing(4, 4), "layer .* .Resizing. is not supported"),
            "UpSampling2D, bilinear": (Image, L.UpSampling2D(2, interpolation="bilinear"), "interpolation 'bilinear'"),
            "attention over masks": (Ids, lambda x: (lambda y: L.MultiHeadAttention(2, 2)(y, y))(
                L.Embedding(7, 3, mask_zero=True)(x)), "of a masked input"),
            "training=True": (Sequence, lambda x: L.Dropout(0.5)(x, training=True), "called with training=True"),
            "an operation on the batch": (Sequence, lambda x: ops.flip(x, axis=0), "over the batch"),
            "AdaptiveMaxPooling1D": (Sequence, L.AdaptiveMaxPooling1D(3), "AdaptiveMaxPooling1D. is not supported"),
            "STFTSpectrogram": ((64, 1), L.STFTSpectrogram(frame_length=16, fft_length=16, frame_step=8),
                                "STFTSpectrogram. is not supported")}


class _Own(L.Layer):
    def call(self, x: Any) -> Any:
        return x * 2


def kinds() -> Iterator[Kind]:
    """All of them; the forms take turns, but for what each form writes in its own way."""
    several = ("LSTM", "GRU", "RNN of cells", "Bidirectional", "TimeDistributed", "BatchNormalization",
               "MultiHeadAttention", "AveragePooling2D, uneven")
    number = 0
    for shape, table in ((Sequence, _of_sequences()), (Image, _of_images())):
        for name, make in table.items():
            forms = FORMS if name in several else (FORMS[number % len(FORMS)],)
            # Of JSON nothing says the backend, nor of a .keras file.
            forms = ("h5", "live") if name == "AveragePooling2D, uneven" else forms
            number += 1
            yield Kind(name, (shape,), make, forms)
    yield Kind("Embedding", (Ids,), lambda x: L.LSTM(3)(L.Embedding(9, 4)(x)), FORMS)
    yield Kind("Embedding, masked", (Ids,), lambda x: L.GRU(3)(L.Embedding(9, 4, mask_zero=True)(x)), FORMS)
    yield Kind("RepeatVector", (Vector,), L.RepeatVector(3), ("keras",))
    yield Kind("two inputs", (Sequence, Vector), lambda x, y: L.Concatenate()([L.LSTM(3)(x), L.Dense(2)(y)]), FORMS)
    yield Kind("a model inside", (Sequence,), lambda x: _inner()(x), FORMS)
    yield Kind("a model inside, twice", (Sequence,), lambda x: (lambda inner: inner(inner(x)))(_inner()), FORMS)
    yield Kind("a layer in both", (Sequence,), _in_both, ("keras", "h5", "live"))
    for name, (shape, make, said) in _refused().items():
        yield Kind(name, (shape,), make, ("live",) if name == "a class of one's own" else ("keras",), said)


def _inner() -> keras.Model:
    return keras.Sequential([L.Input(Sequence), L.Bidirectional(L.LSTM(2, return_sequences=True)), L.Dense(4)])


def _in_both(x: Any) -> Any:
    layer, given = L.Bidirectional(L.GRU(2, return_sequences=True)), L.Input(Sequence)
    return layer(keras.Model(given, layer(given) * 2)(x))


def built(kind: Kind) -> tuple[keras.Model, list[np.ndarray]]:
    """The model with random weights, and inputs."""
    rng = np.random.default_rng(0)
    given = [L.Input((6,), dtype="int32") if shape == Ids else L.Input(shape) for shape in kind.inputs]
    model = keras.Model(given[0] if len(given) == 1 else given, kind.make(*given))
    for variable in model.weights:
        if str(variable.dtype).startswith("float"):
            numbers = 0.4 * rng.standard_normal(tuple(variable.shape))
            variable.assign(np.abs(numbers) + 0.1 if "variance" in variable.path else numbers)
    arrays = [rng.integers(0, 7, (3, 6)).astype(np.int32) if shape == Ids
              else rng.standard_normal((3, *shape)).astype(np.float32) for shape in kind.inputs]
    return model, arrays


def rows(kind: Kind, folder: Path) -> list[Row]:
    """What becomes of a kind in each of its forms. Raises for what Keras itself does not build or save."""
    keras.utils.clear_session()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, arrays = built(kind)
        wanted = [np.asarray(each) for each in keras.tree.flatten(model.predict(arrays, verbose=0))]
        return [_row(kind, form, model, arrays, wanted, folder) for form in kind.forms]


def _row(kind: Kind, form: str, model: keras.Model, arrays: list[np.ndarray], wanted: list[np.ndarray], folder: Path
         ) -> Row:
    source: Any = model
    if form != "live":
        source = folder / f"m.{form}"
        for old in folder.glob("m.*"):
            old.unlink()
    if form == "json":
        source.write_text(model.to_json())
        model.save_weights(folder / "m.weights.h5")
    elif form != "live":
        model.save(source)
    try:
        ours = le.convert(source)
        made = ours.predict(dict(zip(ours.inputs, arrays, strict=True)))
    except LstmEngineError as error:
        said = str(error).removeprefix(f"{source}: ")
        return Row(kind.name, form, REFUSED if type(error).__name__ == "UnsupportedError" else WRONG, said)
    listed = list(made.values()) if isinstance(made, dict) else [made]
    if [each.shape for each in listed] != [want.shape for want in wanted]:
        return Row(kind.name, form, WRONG, f"shapes {[each.shape for each in listed]}")
    off = max(float(np.max(np.abs(each.astype(np.float64) - want))) for each, want in zip(listed, wanted))
    return Row(kind.name, form, RIGHT if off <= TOLERANCE else WRONG, f"off by {off:.1e}")
