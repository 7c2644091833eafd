"""Writes one small model as the installed Keras saves it, and what that Keras computes with it.

    python tools/make_keras_fixtures.py tests/golden/keras

    python tools/make_keras_fixtures.py --frozen tests/golden/keras
    python tools/make_keras_fixtures.py --functions tests/golden/keras
    python tools/make_keras_fixtures.py --layers tests/golden/keras
    python tools/make_keras_fixtures.py --addons tests/golden/keras
    python tools/make_keras_fixtures.py --lookups tests/golden/keras
    python tools/make_keras_fixtures.py --attention tests/golden/keras
    python tools/make_keras_fixtures.py --texts tests/golden/keras
    python tools/make_keras_fixtures.py --contrib tests/golden/keras

Run it with TensorFlow 2.3 to 2.15 (its Keras is the last of its kind of that version), with Keras 2.2 on TensorFlow 1
(frozen models only), or with Keras 3 on any backend. For version V it writes V.zip, which holds model.keras and
model.h5 as that Keras laid them out, and arrays.npz: inputs x0, x1, ... and outputs y0, y1, ... in order. The model
holds what changed from version to version: the names of groups, masks through merges and beside initial states, the
slope of hard_sigmoid, models inside models. --frozen writes V-frozen.zip instead: small models with frozen parts as
HDF5, whose arrays Keras puts in another order, each with its x and y. --functions (TensorFlow 2.4 to 2.15) writes
V-functions.zip: a model of TensorFlow's functions between layers, each of which is an output. --layers (TensorFlow
2.13 to 2.15) writes V-layers.zip: a model of the layers around the recurrent ones as Keras 2 configures and masks them.
--addons (the same, with tensorflow_addons) writes V-addons.zip: CRFs of TensorFlow Addons with and without masks,
boundaries and kernels, and its LSTM cells with normalisation. --lookups (TensorFlow 2.13 and later) writes
V-lookups.zip: whole numbers by their places in vocabularies, given and learnt. --texts (the same) writes V-texts.zip: a
model of texts, cleaned, split and looked up in every way, and a Sequential one as the tutorials have it.
--attention (TensorFlow 2.10 to 2.15, Keras 3.3 to 3.6) writes V-attention.zip: attention of several heads by masks.
--contrib (Keras 2.2 on TensorFlow 1, with keras_contrib) writes V-contrib.zip: conditional random fields, each as HDF5.
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

try:
    import tensorflow as tf

    if tf.__version__ < "2":
        raise ImportError("Keras of its own, on TensorFlow 1")
    keras, flatten = tf.keras, tf.nest.flatten
    try:
        from keras import __version__ as version
    except ImportError:                     # before Keras was a package that TensorFlow imports
        version = keras.__version__
except ImportError:
    import keras

    flatten = keras.tree.flatten if hasattr(keras, "tree") else lambda made: __import__("tree").flatten(made)
    version = keras.__version__

L = keras.layers
IDS = np.array([[0, 0, 3, 7, 1, 2], [4, 1, 5, 0, 2, 9], [6, 2, 8, 1, 0, 0], [0, 0, 0, 0, 0, 0]], np.int32)
OTHER = np.array([[1, 2, 3, 0, 5], [0, 4, 4, 1, 2], [9, 8, 0, 0, 7], [3, 0, 0, 0, 0]], np.int32)


def build() -> keras.Model:
    """Two inputs of ids; every output shows one thing that versions do differently."""
    ids = L.Input((None,), dtype="int32", name="ids")
    other = L.Input((None,), dtype="int32", name="other")
    table = L.Embedding(10, 3, mask_zero=True)
    a, b = table(ids), table(other)
    inner = keras.Sequential([L.Input((None, 3)), L.BatchNormalization(), L.LSTM(3, return_sequences=True),
                              L.Dense(3)])
    x = inner(a)
    both = L.Bidirectional(L.GRU(2, return_sequences=True))(a)
    own = L.Bidirectional(L.LSTM(3), backward_layer=L.GRU(2, go_backwards=True), merge_mode="concat")(x)
    _, h, c = L.LSTM(4, return_state=True, recurrent_activation="hard_sigmoid")(a)
    decoded = L.LSTM(4, return_sequences=True)(b, initial_state=[h, c])
    y = L.TimeDistributed(L.Dense(3))(decoded)
    for _ in range(3):
        y = L.Dense(3, activation="tanh")(y)
    merged = L.Multiply()([x, L.Dense(3)(a)])
    stack = L.RNN([L.LSTMCell(2), L.GRUCell(3, reset_after=False)], return_sequences=True)(merged)
    joined = L.LSTM(2, return_sequences=True)(L.Concatenate()([both, stack]))
    outputs = [both, own, y, merged, joined, L.GlobalAveragePooling1D()(L.LayerNormalization()(both)),
               inner(L.Dense(3)(x))]
    return keras.Model([ids, other], outputs)


def chain(*layers) -> keras.Model:
    """A Sequential model of layers over [batch, time, 3]."""
    model = keras.models.Sequential()
    for layer in layers:
        model.add(layer)
    return model


def frozen() -> Iterator[tuple[str, keras.Model]]:
    """Models with frozen parts, by name."""
    shape = {"input_shape": (None, 3)}
    model = chain(L.Bidirectional(L.LSTM(3), **shape))
    model.layers[0].forward_layer.trainable = False
    yield "direction", model
    model = chain(L.Bidirectional(L.LSTM(3, return_sequences=True), trainable=False, **shape), L.LSTM(2))
    yield "wrapper", model
    cells = [L.LSTMCell(3), L.LSTMCell(3)]
    cells[0].trainable = False
    yield "cell", chain(L.RNN(cells, **shape))
    model = chain(L.TimeDistributed(L.Dense(3, trainable=False), **shape),
                  L.Bidirectional(L.RNN([L.LSTMCell(3), L.GRUCell(2)])))
    model.layers[1].forward_layer.cell.cells[0].trainable = False
    yield "directions_of_cells", model
    inner = chain(L.Bidirectional(L.LSTM(3, return_sequences=True), merge_mode="sum", **shape),
                  L.GRU(3, return_sequences=True), L.BatchNormalization(), L.Dense(3), L.Dense(3),
                  L.RNN([L.LSTMCell(3), L.LSTMCell(3)]))
    for number in (0, 3, 5):
        inner.layers[number].trainable = False
    yield "inner", chain(inner, L.Dense(2))
    deep = chain(L.Dense(3, trainable=False, **shape), L.BatchNormalization(), L.LSTM(3, return_sequences=True))
    around = chain(deep, L.GRU(3))
    around.trainable = False
    for layer in deep.layers[1:]:
        layer.trainable = True
    yield "inner_of_inner", chain(around, L.Dense(2))
    if not hasattr(L, "SpectralNormalization"):              # before TensorFlow 2.13
        return
    wrapped = [L.SpectralNormalization(L.Dense(3)) for _ in range(2)]
    inner = chain(L.InputLayer((None, 3)), *wrapped, L.Dense(3), L.SpectralNormalization(L.Dense(3), trainable=False))
    wrapped[0].trainable = False
    yield "spectral", chain(L.InputLayer((None, 3)), inner, L.SpectralNormalization(L.Dense(2), trainable=False))


def layers() -> keras.Model:
    """Layers that Keras 2 configures, names or masks in its own way; each is an output, or what an LSTM makes of it."""
    x, image, ids = L.Input((6, 4)), L.Input((7, 8, 4)), L.Input((6,), dtype="int32")
    masked = L.Embedding(10, 4, mask_zero=True)(ids)
    whole, real = L.Input((6, 4), dtype="int32"), L.Input((6,))
    return keras.Model([x, image, ids], [
        L.DepthwiseConv1D(3, strides=2, padding="same", depth_multiplier=2)(x), L.SeparableConv1D(3, 2)(x),
        L.SeparableConv1D(5, 3, padding="causal", dilation_rate=2)(x), L.Conv1DTranspose(3, 4, strides=2)(x),
        L.Conv1DTranspose(3, 4, strides=3, padding="same", output_padding=2)(x),
        L.Conv1DTranspose(3, 2, strides=3, padding="same", use_bias=False)(x),
        L.DepthwiseConv2D((3, 2), strides=2)(image), L.SeparableConv2D(3, 2, strides=3, padding="same")(image),
        L.Conv2DTranspose(2, (3, 4), strides=(2, 3), padding="same", output_padding=(1, 2))(image),
        L.AveragePooling1D(4, strides=3, padding="same")(x), L.AveragePooling2D(3, 2, padding="same")(image),
        L.MultiHeadAttention(2, 3, value_dim=2, output_shape=5)(x, x),
        *L.MultiHeadAttention(2, 3, use_bias=False)(x, x, use_causal_mask=True, return_attention_scores=True),
        L.SpectralNormalization(L.Dense(3))(x), L.SpectralNormalization(L.Conv1D(3, 2))(x),
        L.GroupNormalization(2)(x), L.UnitNormalization()(x), L.UnitNormalization(axis=[1, 2])(x),
        L.Dot(axes=2, normalize=True)([x, x]), L.ReLU(max_value=0.7, negative_slope=0.1, threshold=0.2)(x),
        L.ReLU(max_value=1.0)(x), L.Softmax(axis=[1, 2])(x),
        L.EinsumDense("abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de", activation="tanh")(x),
        L.EinsumDense("...x,xy->...y", output_shape=5)(x), L.Discretization(bin_boundaries=[-1.0, 0.0, 0.5])(x),
        L.CategoryEncoding(10)(ids), L.CategoryEncoding(10, output_mode="count")(ids),
        L.RandomRotation(0.2)(L.RandomFlip()(image)), L.Maximum()([ids, L.Add()([ids, ids])]),
        keras.Model(whole, 3 * whole)(x + 0.5), keras.Model(real, real / 3)(ids),
        L.Rescaling(1 / 3, dtype="float64")(ids), L.CategoryEncoding(10, output_mode="count", dtype="int32")(ids),
        L.Discretization([2, 5], output_mode="multi_hot", dtype="int64")(ids),
        *(L.LSTM(3)(layer(masked)) for layer in (
            L.Rescaling(2.0), L.Identity(), L.UnitNormalization(), L.ReLU(max_value=1.0),
            lambda h: tf.cast(h, "float32"), lambda h: h * 2.0)),
        L.GlobalAveragePooling1D("channels_first", keepdims=True)(L.Dense(6)(masked)),
    ])


def of_functions() -> keras.Model:
    from keras_functions import functions  # of TensorFlow 2 alone

    return functions()


def addons() -> keras.Model:
    """Everything that each CRF gives but its kernel is an output, whose rows `predict` puts together."""
    from tensorflow_addons.layers import CRF
    from tensorflow_addons.rnn import LayerNormLSTMCell as Cell

    ids = L.Input((None,), dtype="int32", name="ids")
    masked = L.Bidirectional(L.LSTM(3, return_sequences=True))(L.Embedding(10, 4, mask_zero=True)(ids))
    plain = L.GRU(4, return_sequences=True)(L.Embedding(10, 3)(ids))
    layers = [(CRF(4, name="masked"), masked), (CRF(3, use_boundary=False, name="no_boundary"), masked),
              (CRF(4, use_kernel=False, name="no_kernel"), plain), (CRF(5, name="plain"), plain),
              (CRF(2, name="one_step"), plain[:, :1])]
    crfs = [made for layer, x in layers for made in layer(x)[:3]]
    h, c = L.Dense(4)(plain[:, 0]), L.Dense(4)(plain[:, -1])
    cells = [
        L.RNN(Cell(3), return_sequences=True, go_backwards=True)(masked), L.RNN(Cell(3, norm_epsilon=0.1))(masked),
        *L.RNN(Cell(4, activation="linear", use_bias=False), return_state=True)(plain, initial_state=[h, c]),
        *L.RNN(Cell(4), return_state=True, return_sequences=True, zero_output_for_mask=True)(
            masked, initial_state=[h, c]),
        L.Bidirectional(L.RNN(Cell(2, recurrent_activation="hard_sigmoid"), return_sequences=True))(masked),
        L.Bidirectional(L.RNN(Cell(2)), merge_mode="sum")(masked),
        L.RNN([L.GRUCell(3), Cell(2), L.LSTMCell(3)])(masked)]
    return keras.Model(ids, [*crfs, *cells])


def lookups() -> keras.Model:
    """Vocabularies with and without places for what is masked or in none; ids come into some of them, too."""
    ids = L.Input((6,), dtype="int64", name="ids")
    learnt, masked = L.IntegerLookup(), L.IntegerLookup(mask_token=0, max_tokens=7)
    for layer in (learnt, masked):
        layer.adapt(IDS)
    given = L.IntegerLookup(vocabulary=[7, -3, 2, 9], num_oov_indices=3)
    return keras.Model(ids, [
        learnt(ids), masked(ids), given(3 * ids - 5), L.Embedding(12, 3)(learnt(ids)),
        L.IntegerLookup(vocabulary=[0, -1, 5, 7], mask_token=0)(ids),
        *(L.IntegerLookup(vocabulary=[4, 1, 2], mask_token=masks, output_mode=mode)(x)
          for masks in (None, 0) for mode, x in (("multi_hot", ids), ("count", ids), ("one_hot", ids[:, :1])))])


TEXTS = np.array([
    "A good film, and  a GOOD story!", "Bad -- so bad.", "", "don't\tstop\nthe film: it's na\u00efve, \u00c4RGER 50%",
    "the the the story of a film of a story of the bad", "\u00a0x\u3000y \U0001f600 stra\u00dfe [UNK] ^_^"])
ONE_LINE = np.array([text.replace("\n", " ") for text in TEXTS])     # a file keeps a token a line
WORDS = np.array([["good", "", "Film"], ["[UNK]", "bad", "story"], ["film", "film", "na\u00efve"],
                  ["x", "", ""], ["bad", "a", "story"], ["\u00c4", "good", "film"]])


def texts() -> keras.Model:
    """Texts in every way that a TextVectorization has, learnt and given, and words; each with an input of its own."""
    def read(shape=(1,), **settings):
        layer, x = L.TextVectorization(**settings), L.Input(shape, dtype="string")
        if "vocabulary" not in settings:
            layer.adapt(ONE_LINE)
        return x, layer(x)

    def look_up(**settings):
        x = L.Input((3,), dtype="string")
        return x, L.StringLookup(vocabulary=["good", "film", "bad", "story"], **settings)(x)

    given = ["film", "a", "good", "bad a"]
    pairs = [
        read(), read(()), read(output_sequence_length=5), read(max_tokens=6, output_sequence_length=9),
        read(standardize="lower"), read(standardize="strip_punctuation"), read(standardize=None),
        read(split="character", output_sequence_length=30), read(ngrams=2),
        read(ngrams=(1, 3), output_sequence_length=8),
        read(vocabulary=given, ngrams=(2, 1)), read(output_mode="multi_hot"), read(output_mode="count"),
        read(vocabulary=given, output_mode="count"), read(output_mode="multi_hot", ngrams=2),
        look_up(), look_up(mask_token=""), look_up(output_mode="multi_hot"),
        look_up(mask_token="", output_mode="count"),
        look_up(mask_token="", output_mode="multi_hot", num_oov_indices=1)]
    x, ids = read(max_tokens=20)
    pairs.append((x, L.LSTM(3)(L.Embedding(20, 4, mask_zero=True)(ids))))
    return keras.Model([x for x, _ in pairs], [made for _, made in pairs])


def attention() -> keras.Model:
    """Attention of several heads by the masks of its inputs: each an output, or what another layer makes of it."""
    ids, words = L.Input((6,), dtype="int32", name="ids"), L.Input((6,), dtype="int32", name="words")
    a, b = (L.Embedding(10, 4, mask_zero=True)(x) for x in (ids, words))
    heads = partial(L.MultiHeadAttention, 2, 3)
    return keras.Model([ids, words], [
        heads()(a, a), heads()(a, b), L.LSTM(3)(heads()(a, a)), L.LSTM(3)(heads()(b, a)),
        L.LSTM(3)(heads()(a, a, use_causal_mask=True)), heads(dropout=0.1)(a, b, L.Dense(4)(b)),
        L.LSTM(3)(L.LayerNormalization()(L.Add()([a, heads(dropout=0.1)(a, a)]))),
        heads(use_bias=False)(L.Embedding(10, 4)(ids), b)])


def make_texts(folder: Path) -> None:
    """Write V-texts.zip: model.keras and tutorial.keras, a Sequential model, each with its arrays (.npz)."""
    rng = np.random.default_rng(4)
    model = texts()
    layer = L.TextVectorization(max_tokens=30)
    layer.adapt(ONE_LINE)
    tutorial = keras.Sequential([layer, L.Embedding(30, 4, mask_zero=True), L.Bidirectional(L.LSTM(4)),
                                 L.Dense(3, activation="relu"), L.Dense(1)])
    tutorial(tf.constant(TEXTS))
    with tempfile.TemporaryDirectory() as where, zipfile.ZipFile(
            str(folder / f"{version}-texts.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, made in (("model", model), ("tutorial", tutorial)):
            for layer in made.layers:                   # in Keras 2 vocabularies are weights of a model, too
                if not hasattr(layer, "get_vocabulary"):
                    layer.set_weights([0.4 * rng.standard_normal(array.shape) for array in layer.get_weights()])
            given = [TEXTS] if name == "tutorial" else [
                WORDS if x.shape[1:] == (3,) else TEXTS if len(x.shape) == 1 else TEXTS[:, None] for x in made.inputs]
            outputs = flatten(made(tf.constant(TEXTS) if name == "tutorial" else [tf.constant(x) for x in given]))
            np.savez(f"{where}/{name}.npz", **{f"x{i}": array for i, array in enumerate(given)},
                     **{f"y{i}": np.asarray(array) for i, array in enumerate(outputs)})
            made.save(f"{where}/{name}.keras")
            for suffix in (".npz", ".keras"):
                archive.write(f"{where}/{name}{suffix}", f"{name}{suffix}")


def make_model(folder: Path, kind: str) -> None:
    """Write V-functions.zip, V-layers.zip, V-addons.zip, V-lookups.zip or V-attention.zip."""
    rng = np.random.default_rng(3)
    model = {"functions": of_functions, "layers": layers, "addons": addons, "lookups": lookups,
             "attention": attention}[kind]()
    if kind == "lookups":
        embedding = next(layer for layer in model.layers if "embedding" in layer.name)
        embedding.set_weights([rng.standard_normal((12, 3))])
    elif kind != "functions":
        model.set_weights([0.4 * rng.standard_normal(array.shape) for array in model.get_weights()])
    arrays = [IDS, IDS[::-1, ::-1].copy()] if kind == "attention" else [IDS] if kind in ("addons", "lookups") else [
        *(rng.standard_normal([4, *shape[1:]]).astype("float32") for shape in model.input_shape[:2]), IDS]
    if kind == "layers":
        arrays[2] = np.where(IDS.any(axis=1, keepdims=True), IDS, 1)       # a row without a step has no mean
    # Called as it is, a CRF refuses rows that begin with padding; predict takes them, as a saved model does.
    made = model.predict(IDS) if kind == "addons" else model(arrays, training=False)
    outputs = [np.asarray(keras.ops.convert_to_numpy(output) if hasattr(keras, "ops") else output) for output in made]
    with tempfile.TemporaryDirectory() as where, zipfile.ZipFile(
            str(folder / f"{version}-{kind}.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        np.savez(f"{where}/arrays.npz", **{f"x{i}": array for i, array in enumerate(arrays)},
                 **{f"y{i}": array for i, array in enumerate(outputs)})
        archive.write(f"{where}/arrays.npz", "arrays.npz")
        for name in ("model.h5", "model.keras"):
            if kind != "lookups" or name == "model.keras":      # what `adapt` learnt is in no HDF5 file
                model.save(f"{where}/{name}")
                archive.write(f"{where}/{name}", name)


def contrib():
    """Models of one conditional random field of keras-contrib each, by name."""
    from keras_contrib.layers import CRF

    ids = {"masked": True, "plain": False}
    for name, settings in (("join", {}), ("marginal", {"learn_mode": "marginal"}),
                           ("both", {"test_mode": "marginal", "use_bias": False}),
                           ("bare", {"use_boundary": False, "activation": "tanh"}),
                           ("viterbi", {"learn_mode": "marginal", "test_mode": "viterbi"})):
        for kind, masked in ids.items():
            x = L.Input((6,), dtype="int32")
            h = L.Bidirectional(L.LSTM(3, return_sequences=True))(L.Embedding(10, 4, mask_zero=masked)(x))
            yield f"{name}_{kind}", keras.models.Model(x, CRF(4, **settings)(h))
    x = L.Input((1, 3))
    yield "one_step", keras.models.Model(x, CRF(3)(x))


def make_contrib(folder: Path) -> None:
    """Write V-contrib.zip."""
    rng = np.random.RandomState(5)
    rows = np.array([[3, 7, 1, 2, 9, 4], [5, 1, 8, 0, 0, 0], [0, 0, 6, 2, 1, 7], [4, 0, 0, 3, 3, 0], [2, 0, 0, 0, 0, 0],
                     [0, 0, 0, 0, 0, 0]], np.int32)
    with tempfile.TemporaryDirectory() as temporary, zipfile.ZipFile(
            str(folder / f"{version}-contrib.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, model in contrib():
            model.set_weights([rng.standard_normal(array.shape) for array in model.get_weights()])
            x = rows if model.input_shape[1] == 6 else rng.standard_normal((4, 1, 3)).astype(np.float32)
            path = Path(temporary, f"{name}.h5")
            model.save(str(path))
            np.savez(str(path.with_suffix(".npz")), x=x, y=model.predict(x))
            for each in (path, path.with_suffix(".npz")):
                archive.write(str(each), each.name)


def make_frozen(folder: Path) -> None:
    """Write V-frozen.zip."""
    rng = np.random.RandomState(0)
    x = rng.standard_normal((3, 5, 3)).astype(np.float32)
    with tempfile.TemporaryDirectory() as temporary, zipfile.ZipFile(
            str(folder / f"{version}-frozen.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, model in frozen():
            # Only gamma and variance begin as ones; they stay positive.
            model.set_weights([np.abs(numbers) + 0.1 if numbers.size > 1 and (before == 1).all() else numbers
                               for before in model.get_weights()
                               for numbers in [0.5 * rng.standard_normal(before.shape)]])
            path = Path(temporary, f"{name}.h5")
            model.save(str(path))
            np.savez(str(path.with_suffix(".npz")), x=x, y=model.predict(x))
            for each in (path, path.with_suffix(".npz")):
                archive.write(str(each), each.name)
            keras.backend.clear_session()


def main() -> None:
    folder = Path(sys.argv[-1])
    folder.mkdir(parents=True, exist_ok=True)
    if "--frozen" in sys.argv:
        make_frozen(folder)
        return
    if "--contrib" in sys.argv:
        make_contrib(folder)
        return
    if "--texts" in sys.argv:
        make_texts(folder)
        return
    for kind in ("functions", "layers", "addons", "lookups", "attention"):
        if f"--{kind}" in sys.argv:
            make_model(folder, kind)
            return
    model, rng = build(), np.random.default_rng(0)
    model.set_weights([np.abs(numbers) + 0.1 if "variance" in weight.name else numbers
                       for weight in model.weights for numbers in [0.5 * rng.standard_normal(weight.shape)]])
    made = [np.asarray(keras.ops.convert_to_numpy(output) if hasattr(keras, "ops") else output)
            for output in flatten(model([IDS, OTHER], training=False))]
    with tempfile.TemporaryDirectory() as temporary, zipfile.ZipFile(
            folder / f"{version}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        arrays = Path(temporary, "arrays.npz")
        np.savez(arrays, x0=IDS, x1=OTHER, **{f"y{i}": y for i, y in enumerate(made)})
        archive.write(arrays, arrays.name)
        for name in ("model.keras", "model.h5"):
            try:
                model.save(Path(temporary, name))
            except Exception as error:          # Keras 3.0 cannot save models inside models as HDF5
                print(f"{version}: no {name}: {error}")
            else:
                archive.write(Path(temporary, name), name)


if __name__ == "__main__":
    main()
