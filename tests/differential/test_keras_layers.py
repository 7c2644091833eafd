"""Layers that encode, project, scale or do nothing, whole numbers and masks, in Keras models: against Keras in float64.

Why float64, and the tolerance: see keras_models.EXACT. What Keras 2 does differently is in golden/keras/*-layers.zip.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("h5py")
keras = pytest.importorskip("keras")

from keras import layers as L
from keras import ops
from keras_files import functional, layer, zipped
from keras_models import (
    BATCH,
    EXACT,
    VOCABULARY,
    check,
    embedded,
    floats,
    ids,
    inputs_of,
    keras_outputs,
    randomise,
    sequence,
)

import lstm_engine as le
from lstm_engine import reference
from lstm_engine.graph import Operator

pytestmark = pytest.mark.usefixtures("double_precision")

TIME = 6
# A step in every row: the mean of none is 0 / 0.
ROWS = np.where(ids().any(axis=1, keepdims=True), ids(), 3)

LAYERS = {
    "einsum dense": lambda x: L.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d", activation="relu")(x),
    "einsum dense with open axes": lambda x: L.EinsumDense("...x,xy->...y", 3)(x),
    "einsum dense of heads": lambda x: L.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de")(x),
    "einsum dense over steps": lambda x: L.EinsumDense("abc,bd->adc", (5, 4), bias_axes="d")(x),
    "einsum dense of each step": lambda x: L.EinsumDense("abc,bcd->abd", (TIME, 2), bias_axes="bd")(x),
    "einsum dense and softmax": lambda x: L.EinsumDense("ab...,bc->ac...", (3, None), bias_axes="c",
                                                        activation="softmax")(x),
    "norm one": lambda x: L.UnitNormalization()(x * np.float64(1e-9)),
    "norm one over axes": lambda x: L.UnitNormalization(axis=[1, 2])(x),
    "relu up to": lambda x: L.ReLU(max_value=0.5)(x),
    "relu up to, with a slope": lambda x: L.ReLU(max_value=0.5, negative_slope=0.2)(x),
    "relu from": lambda x: L.ReLU(threshold=0.3, max_value=0.8)(x),
    "relu from, with a slope": lambda x: L.ReLU(threshold=0.3, negative_slope=0.2)(x),
    "relu of all settings": lambda x: L.ReLU(threshold=0.3, max_value=0.8, negative_slope=0.2)(x),
    "softmax over axes": lambda x: L.Softmax(axis=[1, 2])(x),
    "softmax over steps": lambda x: L.Softmax(axis=-2)(x),
    "dot of norm one": lambda x: L.Dot(axes=2, normalize=True)([x, 2 * x[:, 1:]]),
    "dot of vectors of norm one": lambda x: L.Dot(axes=1, normalize=True)([x[:, 0], x[:, 1]]),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("file_name", ["model.keras", "model.h5"])
def test_layers(name, file_name, tmp_path):
    x = sequence(4, TIME)
    check(randomise(keras.Model(x, [LAYERS[name](x), L.LSTM(2)(x)])), [2 * floats(BATCH, TIME, 4)], tmp_path, EXACT,
          file_name)


def test_activations_along_open_axes(tmp_path):
    """Scores of steps [batch, time], of any number of them."""
    x = sequence(4)
    scores = x[:, :, 0]
    model = keras.Model(x, [L.Activation(name)(scores) for name in ("softmax", "log_softmax", "tanh", "gelu")] + [
        L.ReLU(max_value=0.5)(scores), L.Softmax()(L.Permute((2, 1))(x)), L.LSTM(2)(x)])
    check(randomise(model), [floats(BATCH, TIME, 4)], tmp_path, EXACT)


def test_numbers_as_categories(tmp_path):
    """On the boundaries, beyond them, and no number at all."""
    x = L.Input((4,), dtype="float64")
    binned = [L.Discretization([-1.0, 0.0, 0.5], output_mode=mode)(x)
              for mode in ("int", "one_hot", "multi_hot", "count")]
    model = keras.Model(x, [*binned, L.Discretization([0.0], output_mode="one_hot")(x[:, :1]), L.Dense(2)(x)])
    numbers = np.array([[0, 0.5, -1, -2], [np.inf, -np.inf, 1, 0.49], [3, 3, 3, 3]])
    graph = check(randomise(model), [numbers], tmp_path, EXACT)
    numbers[2, 2] = np.nan
    made = reference.run(graph, inputs_of(graph, [numbers]))[graph.outputs[0]]
    np.testing.assert_array_equal(made, keras_outputs(model, [numbers])[0])
    assert made.dtype == np.int32


def test_ids_as_categories(tmp_path):
    x = L.Input((TIME,), dtype="int32")
    encoded = [L.CategoryEncoding(VOCABULARY, output_mode=mode)(x) for mode in ("multi_hot", "count", "one_hot")]
    model = keras.Model(x, [*encoded, L.CategoryEncoding(VOCABULARY, output_mode="one_hot")(x[:, :1]),
                            L.LSTM(3)(encoded[2])])
    check(randomise(model), [ids()], tmp_path, EXACT)


def test_images_are_not_changed_at_inference(tmp_path):
    x = L.Input((8, 9, 3), dtype="float64")
    h = L.RandomContrast(0.2)(L.RandomZoom(0.1, 0.2)(L.RandomFlip("horizontal")(x)))
    h = L.RandomBrightness(0.2)(L.RandomTranslation(0.1, 0.2)(L.RandomRotation(0.1)(h)))
    check(randomise(keras.Model(x, [h, L.Dense(2)(L.GlobalMaxPooling2D()(h))])), [floats(2, 8, 9, 3)], tmp_path, EXACT)


# Layers between an Embedding with a mask and an LSTM: which hand the mask on, which do not.
BETWEEN = {
    "dense": lambda: L.Dense(3), "steps": lambda: L.TimeDistributed(L.Dense(3)),
    "steps of a normalization": lambda: L.TimeDistributed(L.BatchNormalization()),
    "rescaling": lambda: L.Rescaling(2.0),
    "normalization": lambda: L.Normalization(mean=1.0, variance=2.0, axis=None),
    "norm one": lambda: L.UnitNormalization(), "groups": lambda: L.GroupNormalization(2),
    "identity": lambda: L.Identity(), "noise": lambda: L.GaussianNoise(0.1),
    "spectral": lambda: L.SpectralNormalization(L.Dense(3)), "einsum": lambda: L.EinsumDense("abc,cd->abd", (None, 3)),
    "convolution": lambda: L.Conv1D(3, 2, padding="causal"), "padding": lambda: L.ZeroPadding1D(1),
    "up sampling": lambda: L.UpSampling1D(2), "permute": lambda: L.Permute((1, 2)),
    "relu": lambda: L.ReLU(max_value=1.0), "prelu": lambda: L.PReLU(shared_axes=[1]),
    "a model": lambda: keras.Sequential([L.Rescaling(2.0), L.Normalization(mean=1.0, variance=2.0, axis=None)]),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_masks_between_layers(name, tmp_path):
    """In a Sequential model, whose file says nothing of masks; that of a functional one gives them as arguments."""
    model = keras.Sequential([L.Input((None,), dtype="int32"), L.Embedding(VOCABULARY, 4, mask_zero=True),
                              BETWEEN[name](), L.LSTM(3)])
    check(randomise(model), [ROWS], tmp_path, EXACT)


@pytest.mark.parametrize("keepdims", [False, True])
def test_the_mean_over_steps_behind_the_features_heeds_a_mask(keepdims, tmp_path):
    x, h = embedded(features=4)
    pool = L.GlobalAveragePooling1D(data_format="channels_first", keepdims=keepdims)
    check(randomise(keras.Model(x, pool(L.Dense(TIME)(h)))), [ROWS], tmp_path, EXACT)


def test_a_cast_that_changes_nothing_hands_the_mask_on(tmp_path):
    x, h = embedded(features=4)
    model = keras.Model(x, [L.LSTM(3)(ops.cast(h, "float64")), L.LSTM(3)(ops.cast(ops.cast(h, "int32"), "float64")),
                            L.LSTM(3)(ops.convert_to_tensor(h))])
    check(randomise(model), [ROWS], tmp_path, EXACT)


@pytest.mark.parametrize("policy, dtype", [("mixed_float16", "float64"), ("float32", "float64"), ("float64", "float32"),
                                           ("float64", "bfloat16")])
def test_a_cast_of_a_mask_among_other_types_is_refused(policy, dtype):
    """Whether it changes nothing depends on the types in Keras, which are all float64 here."""
    x, h = embedded(features=4)
    model = keras.Model(x, L.LSTM(3)(ops.cast(L.Dense(4, dtype=policy)(h), dtype)))
    with pytest.raises(le.UnsupportedError, match=f"Cast.*of a masked tensor to {dtype} is not supported in a model "
                                                  "whose numbers are float64 here.*supported: without the cast"):
        le.convert(model)


WHOLE = {
    "merges": lambda x: [L.Add()([x, x + 1]), L.Subtract()([x, x + 1]), L.Maximum()([x, x + 1]),
                         L.Concatenate()([x, x])],
    "mean of two": lambda x: [L.Average()([x, x + 3])],
    "elementwise": lambda x: [-x, ops.abs(x), ops.sign(x), ops.square(x - 2**24), x * 3],
    "over axes": lambda x: [ops.sum(x, axis=1), ops.max(x, axis=1), ops.min(x, axis=-1, keepdims=True),
                            ops.prod(x - 2**24, axis=1), ops.mean(x, axis=1)],
    "between whole bounds": lambda x: [ops.clip(x, 2**24, 2**24 + 5)],
    "between bounds": lambda x: [ops.clip(x, 2**24 + 0.5, 2**24 + 5.5)],
    "of masks": lambda x: [ops.sum(x > 2**24 + 3, axis=1), ops.max(x > 2**24 + 3, axis=1)],
    "places": lambda x: [ops.take(x, [[0, 1], [3, -1]], axis=1)],
    "products": lambda x: [ops.matmul(x[:, None], x[:, :, None] - 2**24),
                           ops.einsum("ab,ac->abc", x, x - 2**24), L.Dot(1)([x, x - 2**24])],
    "activations": lambda x: [L.Activation("relu")(x), L.ReLU()(x), ops.relu(-x), L.Activation("linear")(x)],
    "the most of steps": lambda x: [L.GlobalMaxPooling1D()(x[:, :, None])],
    "powers": lambda x: [x ** 3, (x - 2**24 - 6) ** 3, (x > 2**24 + 3) * x ** 1],
    "masks together": lambda x: [make(x > 2**24 + 3, x < 2**24 + 9) for make in (
        lambda a, b: a + b, lambda a, b: a * b, ops.maximum, ops.minimum, lambda a, b: ops.where(a, b, True),
        lambda a, b: ops.where(a, b, False), ops.equal, lambda a, b: a > b, lambda a, b: a / (b + 1),
        lambda a, b: ops.stack([a, b], axis=1), lambda a, b: L.Add()([a, b, a]), lambda a, b: L.Multiply()([a, b]),
        lambda a, b: L.Maximum()([a, b]), lambda a, b: L.Minimum()([a, b]), lambda a, b: L.Concatenate()([a, b]))],
    "masks and numbers": lambda x: [make(x > 2**24 + 3, x) for make in (
        lambda a, x: a + x, lambda a, x: a + 1, lambda a, x: 2 - a, lambda a, x: a * 0.5, lambda a, x: x + True,
        lambda a, x: ops.cumsum(a, axis=1), lambda a, x: ops.where(a, a, x), lambda a, x: L.Add()([a, x]),
        lambda a, x: L.Average()([a, x]), lambda a, x: L.Concatenate()([a, x]),
        lambda a, x: ops.concatenate([a, x], axis=1), lambda a, x: ops.stack([a, x], axis=-1),
        lambda a, x: ops.stack([x, 0.5 * x], axis=-1), lambda a, x: ops.equal(a, 1))],
    "in inner models": lambda x: [keras.Model(inner, made)(given) for inner, make, given in (
        (L.Input((5,), dtype="int32"), lambda i: 3 * i, x * 0.125), (L.Input((5,)), lambda i: i / 3, x),
        (L.Input((5,), dtype="bool"), lambda i: ops.where(i, 1.0, ops.cast(i, "float32")), x - 2**24 - 3),
        (L.Input((5,), dtype="int8"), lambda i: ops.cast(i, "int32") + 1, x)) for made in [make(inner)]],
    "in layers of other types": lambda x: [
        L.Rescaling(1 / 3, dtype="float64")(x),
        L.Normalization(mean=0.125, variance=3.0, axis=None, dtype="float64")(x)],
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_stay_whole(name):
    """Beyond 2**24, where float32 has no odd numbers. In float32: in float64 all of them would be exact."""
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    x = L.Input((5,), dtype="int32")
    model = keras.Model(x, WHOLE[name](x))
    numbers = (2**24 + np.arange(1, 16).reshape(3, 5)).astype(np.int32)
    made = le.convert(model).predict(numbers)
    listed = list(made.values()) if isinstance(made, dict) else [made]
    for mine, want in zip(listed, keras_outputs(model, [numbers]), strict=True):
        assert mine.dtype == want.dtype
        # A mean, and bounds that are no whole numbers, are of float32, whose roundings are 6e-8.
        np.testing.assert_allclose(mine, want, rtol=0 if want.dtype.kind != "f" else 2e-7)


@pytest.mark.parametrize("make, said", [
    (lambda x: L.LayerNormalization()(x), "a cast first"), (lambda x: x ** -1, "an exponent from 1"),
    (lambda x: 2 ** x, "an exponent from 1"), (lambda x: L.Rescaling(0.5, dtype="int32")(x), "a floating-point dtype")])
def test_what_whole_numbers_are_not_supported_in(make, said):
    x = L.Input((5,), dtype="int32")
    with pytest.raises(le.UnsupportedError, match=f"is not supported.*supported: .*{said}"):
        le.convert(keras.Model(x, make(x)))


@pytest.mark.parametrize("make", [
    lambda x: L.Average()([x > 0, x > 1]), lambda x: L.Add()([x > 0, x > 1, x]), lambda x: (x > 0) ** (x > 1),
    lambda x: ops.abs(x > 0), lambda x: ops.square(x > 0), lambda x: ops.sign(x > 0)])
def test_numbers_of_masks_are_refused(make):
    """What they are depends on the backend, or on which of them are joined first."""
    x = L.Input((5,), dtype="int32")
    with pytest.raises(le.UnsupportedError, match="is not supported.*supported: .*cast to numbers first"):
        le.convert(keras.Model(x, make(x)))


def test_ids_of_an_inner_model_that_takes_floats_stay_ids(tmp_path):
    """Keras casts them there and back, which changes none of them: one call of the core, as without the model."""
    x, inner = L.Input((TIME,), dtype="int32"), L.Input((TIME,), dtype="float32")
    model = keras.Model(x, keras.Model(inner, L.LSTM(3)(L.Embedding(VOCABULARY, 4, mask_zero=True)(inner)))(x))
    graph = check(randomise(model), [ids()], tmp_path, EXACT)
    assert "Cast" not in {node.op_type for node in graph.nodes if isinstance(node, Operator)}


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint32"])
@pytest.mark.parametrize("make", [lambda x: x + x, lambda x: L.Add()([x, x]), lambda x: ops.sum(x, axis=1),
                                  lambda x: -x, lambda x: ops.cumsum(x, axis=1)])
def test_whole_numbers_that_may_wrap_are_refused(dtype, make):
    x = L.Input((5,), dtype=dtype)
    with pytest.raises(le.UnsupportedError, match=f"of whole numbers is not supported in a model whose input "
                                                  f"'.*' \\({dtype}\\).*a cast to float32 first"):
        le.convert(keras.Model(x, make(x)))


def test_whole_numbers_of_images_are_rescaled(tmp_path):
    x = L.Input((5,), dtype="uint8")
    numbers = np.arange(0, 255, 17).reshape(3, 5).astype("uint8")
    model = keras.Model(x, [L.Dense(2)(L.Rescaling(1 / 256)(x)), ops.cast(x, "float64") * 2])
    check(randomise(model), [numbers], tmp_path, EXACT)


REFUSED = [
    ("StringLookup", {}, r"of what is no input of texts is not supported \(its input is float32\)"),
    ("TextVectorization", {}, r"supported: an Input\(dtype='string'\) of the model"),
    ("IntegerLookup", {}, r"does not keep the vocabulary.*ids = model.get_layer\('odd'\)\(values\)"),
    ("IntegerLookup", {"vocabulary": [3, 5], "num_oov_indices": 0}, "num_oov_indices 0 is not supported"),
    ("IntegerLookup", {"vocabulary": [3, 5], "invert": True}, "invert True is not supported"),
    ("Hashing", {}, "hashes are TensorFlow's own"),
    ("Discretization", {"num_bins": 3}, "without bin_boundaries is not supported: it was not adapted"),
    ("Discretization", {"bin_boundaries": [1.0, 0.0]}, "supported: sorted ones"),
    ("Discretization", {"bin_boundaries": [0.0], "output_mode": "count", "sparse": True}, "sparse True is not supp"),
    ("CategoryEncoding", {"num_tokens": 3, "output_mode": "count"}, r"count of \[batch, 5, 4\] is not supported"),
    ("UnitNormalization", {"axis": 0}, "by sample is not supported"),
    ("Softmax", {"axis": [0, 1]}, "other than the batch"),
]


@pytest.mark.parametrize("kind, config, said", REFUSED)
def test_what_is_not_supported_is_named(kind, config, said, tmp_path):
    entries = [layer("InputLayer", "x", [], batch_shape=[None, 5, 4], dtype="float32"),
               layer(kind, "odd", [[["x", 0, 0, {}]]], trainable=True, **config)]
    path = zipped(tmp_path / "m.keras", functional(entries, [["x", 0, 0]], [["odd", 0, 0]]), {})
    with pytest.raises(le.UnsupportedError, match=f"layer 'odd' \\({kind}\\).*{said}"):
        le.convert(path)


@pytest.mark.parametrize("vocabulary, said", [
    ([], "expected 1 to 1048576 whole numbers"), ([1.5], "whole numbers"), ("1\n2", "whole numbers"),
    ([True], "whole numbers"), ([2**70], "whole numbers"), ([3, 4, 3], "a value twice"), ([3, 0], "its mask_token 0")])
def test_vocabularies_that_are_none(vocabulary, said, tmp_path):
    entries = [layer("InputLayer", "x", [], batch_shape=[None, 5], dtype="int64"),
               layer("IntegerLookup", "odd", [[["x", 0, 0, {}]]], trainable=True, vocabulary=vocabulary, mask_token=0)]
    path = zipped(tmp_path / "m.keras", functional(entries, [["x", 0, 0]], [["odd", 0, 0]]), {})
    with pytest.raises(le.FormatError, match=f"layer 'odd' \\(IntegerLookup\\).*{said}"):
        le.convert(path)


@pytest.mark.parametrize("equation, error, said", [
    ("abc,cd->bad", le.UnsupportedError, "mixes the rows"), ("abc,ad->bd", le.UnsupportedError, "mixes the rows"),
    ("aab,bc->ac", le.UnsupportedError, "each letter once"),
    ("abc,cd->abe", le.UnsupportedError, "in the output alone"),
    ("abc->ab", le.UnsupportedError, "a letter for each axis"), ("ab,bc->ac", le.FormatError, r"\[batch, 5, 4\]"),
    ("abc,bd->abd", le.FormatError, "axis 'b' of its equation is 5 and 4"),
])
def test_equations_that_are_not_supported(equation, error, said, tmp_path):
    entries = [layer("InputLayer", "x", [], batch_shape=[None, 5, 4], dtype="float32"),
               layer("EinsumDense", "odd", [[["x", 0, 0, {}]]], trainable=True, equation=equation, output_shape=[3],
                     bias_axes=None)]
    path = zipped(tmp_path / "m.keras", functional(entries, [["x", 0, 0]], [["odd", 0, 0]]),
                  {"layers/einsum_dense/vars/0": np.ones((4, 3), np.float32)})
    with pytest.raises(error, match=f"'odd' .*{said}"):
        le.convert(path)


def test_groups_of_a_layer_that_has_none(tmp_path):
    entries = [layer("InputLayer", "x", [], batch_shape=[None, 5, 4], dtype="float32"),
               layer("DepthwiseConv1D", "odd", [[["x", 0, 0, {}]]], trainable=True, groups=2, kernel_size=[2],
                     depth_multiplier=1)]
    path = zipped(tmp_path / "m.keras", functional(entries, [["x", 0, 0]], [["odd", 0, 0]]), {})
    with pytest.raises(le.UnsupportedError, match="groups 2 is not supported"):
        le.convert(path)


def test_images_of_an_open_size_are_refused(tmp_path):
    """Keras builds no such layer."""
    entries = [layer("InputLayer", "x", [], batch_shape=[None, 5, None, 4, 2], dtype="float32"),
               layer("ConvLSTM2D", "odd", [[["x", 0, 0, {}]]], trainable=True, filters=2, kernel_size=[2, 2])]
    path = zipped(tmp_path / "m.keras", functional(entries, [["x", 0, 0]], [["odd", 0, 0]]), {})
    with pytest.raises(le.UnsupportedError, match=r"ConvLSTM2D.*fixed numbers of rows.*keras.Input\(\(None, rows, "):
        le.convert(path)


def test_a_custom_class_is_refused_with_what_to_do(tmp_path):
    for name in ("Addons>Sparsemax", "CRF"):            # a CRF without more is keras-contrib's
        entries = [layer("InputLayer", "x", [], batch_shape=[None, 5, 4], dtype="float32"),
                   {**layer(name, "odd", [[["x", 0, 0, {}]]]), "registered_name": name}]
        path = zipped(tmp_path / "m.keras", functional(entries, [["x", 0, 0]], [["odd", 0, 0]]), {})
        with pytest.raises(le.UnsupportedError,
                           match=rf"custom class '{name}'.*export.*model.get_layer\('odd'\).input"):
            le.convert(path)
