"""ConvLSTM1D, 2D and 3D, against Keras in float64.

Why float64, and the tolerance: see keras_models.EXACT.
"""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("h5py")
keras = pytest.importorskip("keras")

from keras import layers as L  # noqa: E402
from keras_models import BATCH, EXACT, check, floats, randomise  # noqa: E402

import lstm_engine as le  # noqa: E402

pytestmark = pytest.mark.usefixtures("double_precision")

STEPS, HEIGHT, WIDTH, CHANNELS = 4, 6, 5, 3
SPACE = {1: (HEIGHT,), 2: (HEIGHT, WIDTH), 3: (HEIGHT, WIDTH, 4)}

LAYERS = {
    "the last step": lambda kind: kind(2, 3),
    "all steps": lambda kind: kind(2, 3, padding="same", return_sequences=True),
    "states": lambda kind: kind(2, 2, return_sequences=True, return_state=True),
    "backwards": lambda kind: kind(2, 3, padding="same", go_backwards=True, return_sequences=True, return_state=True),
    "strides": lambda kind: kind(2, 3, strides=2, padding="same", use_bias=False),
    "dilated": lambda kind: kind(3, 2, dilation_rate=2, return_sequences=True),
    "activations": lambda kind: kind(2, 3, activation="relu", recurrent_activation="hard_sigmoid", padding="same"),
}


def image(dimensions, steps=STEPS, channels_first=False):
    space = SPACE[dimensions]
    return (steps, CHANNELS, *space) if channels_first else (steps, *space, CHANNELS)


OPEN = pytest.mark.parametrize("steps", [STEPS, None], ids=["written out", "a loop"])


@OPEN
@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, dimensions, steps, tmp_path):
    shape = image(dimensions)
    x = L.Input((steps, *shape[1:]), dtype="float64")
    model = keras.Model(x, LAYERS[name](getattr(L, f"ConvLSTM{dimensions}D"))(x))
    check(randomise(model), [floats(BATCH, *shape)], tmp_path, EXACT)


@OPEN
@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("merge", ["concat", "sum", "ave", None])
def test_both_directions(merge, channels_first, steps, tmp_path):
    shape = image(2, channels_first=channels_first)
    x = L.Input((steps, *shape[1:]), dtype="float64")
    one_way = L.ConvLSTM2D(2, 3, padding="same", return_sequences=merge != "sum", return_state=merge is None,
                           data_format="channels_first" if channels_first else "channels_last")
    model = keras.Model(x, L.Bidirectional(one_way, merge_mode=merge)(x))
    check(randomise(model), [floats(BATCH, *shape)], tmp_path, EXACT)


@OPEN
@pytest.mark.parametrize("file_name", ["model.keras", "model.h5"])
def test_a_frame_predictor(file_name, steps, tmp_path):
    """Of the tutorials: convolutional LSTMs with normalization between them, then frames; and a decoder that goes on
    from the states of an encoder."""
    x = L.Input((steps, *image(2)[1:]), dtype="float64")
    first = L.ConvLSTM2D(3, 3, padding="same", return_sequences=True)
    middle = L.BatchNormalization()(first(x))
    sequence, h, c = L.ConvLSTM2D(2, 3, padding="same", return_sequences=True, return_state=True)(middle)
    frames = L.Conv3D(1, (3, 3, 3), padding="same", activation="sigmoid")(sequence)
    decoded = L.ConvLSTM2D(2, 3, padding="same", name="decoder")(sequence, initial_state=[h, c])
    model = keras.Model(x, [frames, L.TimeDistributed(L.Flatten())(frames), L.Flatten()(decoded), first(x)])
    check(randomise(model), [floats(BATCH, *image(2))], tmp_path, EXACT, file_name)


@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("kernel, strides, dilation", [(1, 3, 1), (2, 2, 1), (4, 1, 1), (3, 1, 2), ((2, 3), (2, 1), 1)])
def test_windows(kernel, strides, dilation, padding, channels_first, tmp_path):
    shape = image(2, channels_first=channels_first)
    x = L.Input(shape, dtype="float64")
    layer = L.ConvLSTM2D(2, kernel, strides=strides, dilation_rate=dilation, padding=padding, return_sequences=True,
                         data_format="channels_first" if channels_first else "channels_last")
    check(randomise(keras.Model(x, layer(x))), [floats(BATCH, *shape)], tmp_path, EXACT)


@pytest.mark.parametrize("around", [lambda layer: layer, L.Bidirectional], ids=["one way", "both ways"])
def test_masks_are_refused_by_name(around):
    x, mask = L.Input(image(1), dtype="float64"), L.Input((STEPS,), dtype="bool")
    model = keras.Model([x, mask], around(L.ConvLSTM1D(2, 3))(x, mask=mask))
    with pytest.raises(le.UnsupportedError, match="of a masked input is not supported; supported: without masks"):
        le.convert(model)
