"""Masks on their way through Keras models, models inside models, shared layers: imported, against Keras in float64.

Why float64, and the tolerance: see keras_models.EXACT.
"""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("h5py")
keras = pytest.importorskip("keras")

from keras import layers as L
from keras import ops
from keras_models import BATCH, EXACT, TIME, VOCABULARY, check, embedded, floats, ids, randomise, sequence, tokens

pytestmark = pytest.mark.usefixtures("double_precision")

# Everything a mask can meet on its way from an embedding to a layer that heeds it.
MASKED = {
    "dropout and dense": lambda a, b: L.Dense(3)(L.Dropout(0.5)(a)),
    "activation": lambda a, b: L.LeakyReLU()(L.Activation("tanh")(a)),
    "normalization": lambda a, b: L.BatchNormalization()(L.LayerNormalization()(a)),
    "time distributed": lambda a, b: L.TimeDistributed(L.Dense(3))(a),
    "recurrent": lambda a, b: L.GRU(3, return_sequences=True)(L.LSTM(3, return_sequences=True)(a)),
    "bidirectional": lambda a, b: L.Bidirectional(L.LSTM(3, return_sequences=True))(a),
    "bidirectional parts": lambda a, b: L.Bidirectional(L.LSTM(3, return_sequences=True), merge_mode=None)(a)[1],
    "go backwards": lambda a, b: L.LSTM(3, return_sequences=True, go_backwards=True)(a),
    "recurrent with states": lambda a, b: L.LSTM(3, return_sequences=True)(
        a, initial_state=[L.LSTM(3)(b), L.LSTM(3)(b)]),
    "add": lambda a, b: L.Add()([a, b]),
    "add one unmasked": lambda a, b: L.Add()([a, ops.tanh(b)]),
    "subtract": lambda a, b: L.Subtract()([a, b]),
    "average": lambda a, b: L.Average()([a, b, L.Dense(3)(b)]),
    "multiply": lambda a, b: L.Multiply()([a, b]),
    "multiply one unmasked": lambda a, b: L.Multiply()([a, ops.tanh(b)]),
    "maximum": lambda a, b: L.Maximum()([a, b, L.Dense(3)(a)]),
    "minimum one unmasked": lambda a, b: L.Minimum()([ops.tanh(a), b]),
    "concatenate": lambda a, b: L.Concatenate()([a, b]),
    "concatenate one unmasked": lambda a, b: L.Concatenate()([a, ops.tanh(b)]),
    "concatenate over time": lambda a, b: L.Concatenate(axis=1)([a, b]),
    "concatenate over time one unmasked": lambda a, b: L.Concatenate(axis=1)([a, ops.tanh(b)]),
    "an operation drops it": lambda a, b: a * 2,
    "permute drops it": lambda a, b: L.Permute((1, 2))(a),
}


@pytest.mark.parametrize("end", ["lstm", "bidirectional", "pool"])
@pytest.mark.parametrize("name", MASKED)
def test_masks(name, end, tmp_path):
    ends = {"lstm": L.LSTM(4, return_sequences=True), "bidirectional": L.Bidirectional(L.GRU(2, return_sequences=True)),
            "pool": L.GlobalAveragePooling1D()}
    first, a = embedded()
    second, b = embedded()
    middle = MASKED[name](a, b)
    y = [middle, ends[end](middle)]
    one, other = ids(1), ids(9)[[2, 0, 1, 3]]
    other[3] = [1, 2, 0, 3, 0, 4]                    # no row without any step: its mean is 0 / 0 in both
    one[3, 1] = 5
    check(randomise(keras.Model([first, second], y)), [one, other], tmp_path, EXACT)


def test_masked_layers_after_masking(tmp_path):
    x = sequence(3)
    masked = L.Masking(mask_value=0.5)(x)
    y = [masked, L.LSTM(4, return_sequences=True)(masked), L.GlobalAveragePooling1D()(masked),
         L.Bidirectional(L.LSTM(2))(masked)]
    array = floats(BATCH, TIME, 3)
    array[0, 0] = array[1, 3:5] = array[2, 4:] = 0.5
    check(randomise(keras.Model(x, y)), [array], tmp_path, EXACT)


def inner_sequential():
    return keras.Sequential([L.Input((None, 3)), L.LSTM(3, return_sequences=True), L.Dense(3)])


def inner_functional():
    x = L.Input((None, 3))
    h = L.LSTM(4, return_sequences=True)(x)
    return keras.Model(x, [L.Dense(3)(h), L.GlobalMaxPooling1D()(h)])


def test_a_sequential_model_inside_a_model(tmp_path):
    x, e = embedded()
    inner = inner_sequential()
    y = L.LSTM(2)(inner(e))
    check(randomise(keras.Model(x, [y, inner(L.Dropout(0.1)(e))])), [ids()], tmp_path, EXACT)


def test_a_functional_model_inside_models(tmp_path):
    x = sequence()
    inner = inner_functional()
    a, b = inner(x)
    c, d = inner(a)
    outer = keras.Model(x, L.Concatenate()([b, d, L.LSTM(2)(c)]))
    z = sequence()
    model = keras.Model(z, [L.Dense(2)(outer(z)), L.LSTM(3)(z)])
    check(randomise(model), [floats(BATCH, TIME, 3)], tmp_path, EXACT)


def test_a_model_inside_a_model_called_twice_as_output(tmp_path):
    inner, x = inner_functional(), sequence()
    check(randomise(keras.Model(x, [inner(L.Dense(3)(x)), inner(x)])), [floats(BATCH, TIME, 3)], tmp_path, EXACT)


def test_a_model_of_two_inputs_inside_a_model(tmp_path):
    a, b = sequence(2), sequence(3)
    inner = keras.Model([a, b], L.Subtract()([L.LSTM(2)(a), L.LSTM(2)(b)]))
    x, y = sequence(3), sequence(2)
    check(randomise(keras.Model([x, y], inner([y, x]))), [floats(BATCH, TIME, 3), floats(BATCH, 4, 2)], tmp_path, EXACT)


def test_shared_layers(tmp_path):
    lstm, dense, embedding = L.LSTM(4, return_sequences=True), L.Dense(3), L.Embedding(VOCABULARY, 3)
    a, b = tokens(), tokens()
    one, two = (dense(lstm(dense(lstm(embedding(x))))) for x in (a, b))
    check(randomise(keras.Model([a, b], [one, two])), [ids(), ids(4)], tmp_path, EXACT)


def test_many_layers_of_one_class(tmp_path):
    """Groups are called dense, dense_1, ..., dense_11: sorted as text, 10 would come before 2."""
    x = y = sequence()
    for _ in range(12):
        y = L.Dense(3, activation="tanh")(y)
    check(randomise(keras.Model(x, y)), [floats(BATCH, TIME, 3)], tmp_path, EXACT)


def test_inputs_and_outputs_that_repeat(tmp_path):
    x = sequence()
    y = L.LSTM(2)(x)
    graph = check(randomise(keras.Model(x, [y, x, y])), [floats(BATCH, TIME, 3)], tmp_path, EXACT)
    assert len(set(graph.outputs)) == 3


def test_outputs_in_a_dict(tmp_path):
    x = sequence()
    model = keras.Model({"x": x}, {"b": L.LSTM(2, name="last")(x), "a": L.Dense(3, name="steps")(x)})
    randomise(model).save(tmp_path / "model.keras")
    from lstm_engine.importers import import_graph

    assert import_graph(tmp_path / "model.keras").outputs == ("steps", "last")


def test_a_sequential_model_without_an_input(tmp_path):
    model = keras.Sequential([L.LSTM(3, return_sequences=True), L.LSTM(2), L.Dense(1)])
    model.build((None, TIME, 3))
    check(randomise(model), [floats(BATCH, TIME, 3)], tmp_path, EXACT)


def test_float_ids_become_integers(tmp_path):
    x = L.Input((None,))                             # float32, which is what many scripts leave it at
    model = randomise(keras.Model(x, L.LSTM(3)(L.Embedding(VOCABULARY, 3, mask_zero=True)(x))))
    graph = check(model, [ids()], tmp_path, EXACT)
    assert [value.dtype for value in graph.inputs] == ["int32"]


def test_legacy_h5_of_keras_3(tmp_path):
    x, e = embedded()
    inner = keras.Sequential([L.Input((None, 3)), L.BatchNormalization(), L.LSTM(3, return_sequences=True)])
    h = L.Bidirectional(L.GRU(3, return_sequences=True))(inner(e))
    y = L.TimeDistributed(L.Dense(2))(L.LayerNormalization()(h)) + 1.0
    y = L.Add()([y, L.Dense(2)(h)])
    check(randomise(keras.Model(x, y)), [ids()], tmp_path, EXACT, "model.h5")
