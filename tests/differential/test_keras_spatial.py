"""Convolutions, pooling, padding and resizing in Keras models, against Keras in float64.

Why float64, and the tolerance: see keras_models.EXACT.
"""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("h5py")
keras = pytest.importorskip("keras")

from keras import layers as L
from keras_models import BATCH, EXACT, check, floats, randomise

pytestmark = pytest.mark.usefixtures("double_precision")

TIME, HEIGHT, WIDTH, DEPTH = 9, 7, 8, 5

# Layers over [batch, time, 4]; each in a model of a free and of a fixed number of steps.
SEQUENCE = {
    "conv": lambda: L.Conv1D(3, 2),
    "conv same": lambda: L.Conv1D(3, 4, padding="same", activation="relu"),
    "conv causal": lambda: L.Conv1D(5, 3, padding="causal", dilation_rate=2),
    "conv strides": lambda: L.Conv1D(3, 4, strides=2, use_bias=False),
    "conv same strides": lambda: L.Conv1D(3, 4, strides=3, padding="same", activation="softmax"),
    "conv dilated": lambda: L.Conv1D(3, 3, dilation_rate=3, activation="tanh"),
    "conv same dilated": lambda: L.Conv1D(3, 3, dilation_rate=2, padding="same"),
    "conv groups": lambda: L.Conv1D(6, 2, groups=2, padding="same"),
    "conv twice": lambda: keras.Sequential([L.Conv1D(3, 3, padding="causal", activation="relu"), L.Conv1D(2, 2)]),
    "depthwise": lambda: L.DepthwiseConv1D(3, depth_multiplier=2, padding="same", activation="elu"),
    "depthwise valid": lambda: L.DepthwiseConv1D(2, use_bias=False),
    "separable": lambda: L.SeparableConv1D(5, 3, depth_multiplier=2, padding="same", activation="relu"),
    "separable valid": lambda: L.SeparableConv1D(2, 3, strides=2),
    "transposed": lambda: L.Conv1DTranspose(3, 3, strides=2, activation="relu"),
    "transposed same": lambda: L.Conv1DTranspose(3, 4, strides=2, padding="same"),
    "transposed wide strides": lambda: L.Conv1DTranspose(3, 2, strides=3),
    "transposed dilated": lambda: L.Conv1DTranspose(2, 2, dilation_rate=2, use_bias=False),
    "max pool": lambda: L.MaxPooling1D(2),
    "max pool same": lambda: L.MaxPooling1D(3, strides=2, padding="same"),
    "average pool": lambda: L.AveragePooling1D(2),
    # Keras on torch counts a copied edge where one end is padded more; TensorFlow and JAX leave padding out of it.
    "average pool same": lambda: L.AveragePooling1D(3, strides=1, padding="same"),
    "zero padding": lambda: L.ZeroPadding1D(2),
    "zero padding of two": lambda: L.ZeroPadding1D((3, 0)),
    "cropping": lambda: L.Cropping1D((1, 2)),
    "cropping one end": lambda: L.Cropping1D((2, 0)),
    "up sampling": lambda: L.UpSampling1D(3),
}


@pytest.mark.parametrize("time", [None, TIME])
@pytest.mark.parametrize("name", SEQUENCE)
def test_layers_over_time(name, time, tmp_path):
    x = L.Input((time, 4), dtype="float64")
    middle = SEQUENCE[name]()(x)
    model = keras.Model(x, [middle, L.LSTM(3)(middle), L.GlobalMaxPooling1D()(middle)])
    check(randomise(model), [floats(BATCH, TIME, 4)], tmp_path, EXACT)


# Layers over [batch, height, width, 3].
IMAGE = {
    "conv": lambda **more: L.Conv2D(4, 3, **more),
    "conv same": lambda **more: L.Conv2D(4, (2, 3), padding="same", strides=(2, 1), activation="relu", **more),
    "conv dilated": lambda **more: L.Conv2D(2, 2, dilation_rate=(2, 3), **more),
    "conv groups": lambda **more: L.Conv2D(6, 2, groups=3, **more),
    "depthwise": lambda **more: L.DepthwiseConv2D((3, 2), depth_multiplier=2, padding="same", **more),
    "separable": lambda **more: L.SeparableConv2D(4, (2, 3), depth_multiplier=2, **more),
    "transposed": lambda **more: L.Conv2DTranspose(2, (3, 2), strides=(2, 1), **more),
    "transposed same": lambda **more: L.Conv2DTranspose(2, 4, strides=2, padding="same", **more),
    "max pool": lambda **more: L.MaxPooling2D((2, 3), **more),
    "max pool same": lambda **more: L.MaxPooling2D(2, padding="same", **more),
    "average pool": lambda **more: L.AveragePooling2D(2, strides=1, **more),
    "global average": lambda **more: L.GlobalAveragePooling2D(**more),
    "global max kept": lambda **more: L.GlobalMaxPooling2D(keepdims=True, **more),
    "zero padding": lambda **more: L.ZeroPadding2D(((1, 0), (2, 3)), **more),
    "cropping": lambda **more: L.Cropping2D((1, 2), **more),
    "up sampling": lambda **more: L.UpSampling2D((2, 3), **more),
}


@pytest.mark.parametrize("channels", ["channels_last", "channels_first"])
@pytest.mark.parametrize("name", IMAGE)
def test_layers_over_images(name, channels, tmp_path):
    last = channels == "channels_last"
    shape = (HEIGHT, WIDTH, 3) if last else (3, HEIGHT, WIDTH)
    x = L.Input(shape, dtype="float64")
    middle = IMAGE[name](data_format=channels)(x)
    model = keras.Model(x, [middle, L.Dense(2)(L.Flatten()(middle))])
    check(randomise(model), [floats(BATCH, *shape)], tmp_path, EXACT)


def test_images_of_any_height(tmp_path):
    x = L.Input((None, WIDTH, 3), dtype="float64")
    made = [L.UpSampling2D(2)(x), L.UpSampling2D((1, 3))(x), L.Conv2D(2, 3, strides=2, padding="same")(x),
            L.MaxPooling2D(2)(x), L.Conv2DTranspose(2, 3, strides=2)(x), L.ZeroPadding2D(1)(x)]
    check(randomise(keras.Model(x, [*made, L.LSTM(2)(L.Reshape((-1, 3))(made[0]))])), [floats(2, HEIGHT, WIDTH, 3)],
          tmp_path, EXACT)


VOLUME = {
    "conv": lambda: L.Conv3D(2, (2, 3, 2), padding="same"),
    "transposed": lambda: L.Conv3DTranspose(2, 2, strides=(1, 2, 1)),
    "max pool": lambda: L.MaxPooling3D(2),
    "average pool": lambda: L.AveragePooling3D((1, 2, 3), strides=1),
    "global": lambda: L.GlobalAveragePooling3D(),
    "padding, cropping, up sampling": lambda: keras.Sequential([L.ZeroPadding3D((1, 2, 0)), L.Cropping3D(1),
                                                                L.UpSampling3D((1, 2, 3))]),
}


@pytest.mark.parametrize("name", VOLUME)
def test_layers_over_volumes(name, tmp_path):
    x = L.Input((DEPTH, HEIGHT, WIDTH, 2), dtype="float64")
    check(randomise(keras.Model(x, VOLUME[name]()(x))), [floats(2, DEPTH, HEIGHT, WIDTH, 2)], tmp_path, EXACT)


@pytest.mark.parametrize("file_name", ["model.keras", "model.h5"])
def test_a_convolutional_recurrent_classifier(file_name, tmp_path):
    """The usual order of a sensor or speech model, in both kinds of files; one Conv1D is used twice."""
    x = L.Input((32, 6), dtype="float64")
    conv = L.Conv1D(6, 5, padding="same", activation="relu")
    h = L.BatchNormalization()(conv(conv(x)))
    h = L.Dropout(0.2)(L.MaxPooling1D(2)(h))
    h = L.SeparableConv1D(5, 3, activation="relu")(L.DepthwiseConv1D(3)(h))
    h = L.Bidirectional(L.LSTM(4, return_sequences=True))(h)
    model = keras.Model(x, L.Dense(3, activation="softmax")(L.GlobalAveragePooling1D()(h)))
    check(randomise(model), [floats(BATCH, 32, 6)], tmp_path, EXACT, file_name)
