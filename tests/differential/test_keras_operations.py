"""Operations of keras.ops that pick, split, repeat or choose, and products, in Keras models: against Keras in float64.

Why float64, and the tolerance: see keras_models.EXACT.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("h5py")
keras = pytest.importorskip("keras")

from keras import layers as L
from keras import ops
from keras_models import BATCH, EXACT, check, floats, ids, randomise, sequence, tokens

import lstm_engine as le

pytestmark = pytest.mark.usefixtures("double_precision")

TIME = 6
OPERATIONS = {
    "matmul": lambda h, x, i: ops.matmul(ops.transpose(h, (0, 2, 1)), x),
    "matmul of more axes": lambda h, x, i: ops.matmul(ops.expand_dims(ops.swapaxes(h, 1, 2), 1), ops.expand_dims(x, 1)),
    "einsum": lambda h, x, i: ops.einsum("btf,btg->bfg", h, x),
    "einsum of one": lambda h, x, i: ops.einsum("btf->bft", h),
    "arrays": lambda h, x, i: [h + np.arange(3.0), ops.maximum(h, ops.ones((1, TIME, 1))), h * np.eye(TIME, 3) > 0.1,
                               ops.matmul(h, np.ones((3, 2))), ops.where(h > 0, h, np.full(3, 0.5)),
                               ops.einsum("btf,fg->btg", h, np.ones((3, 2))), i + np.arange(TIME, dtype="int32"),
                               ops.concatenate([h, ops.ones_like(h) * np.float64(2)], axis=1)],
    "rows of an array": lambda h, x, i: [ops.take(np.eye(12), i, axis=0), ops.take(h, np.array([2, 0]), axis=1)],
    "take": lambda h, x, i: ops.take(h, [0, 2, -1], axis=1),
    "take one": lambda h, x, i: ops.take(h, 1, axis=-1),
    "split": lambda h, x, i: ops.split(h, 3, axis=1)[1:],
    "split at places": lambda h, x, i: ops.split(h, [1, 2], axis=-1),
    "unstack": lambda h, x, i: ops.unstack(h, axis=1)[2],
    "where": lambda h, x, i: ops.where(h > 0, h, 0.5 * h),
    "where with a number": lambda h, x, i: ops.where(ops.expand_dims(ops.equal(i, 0), -1), 0.5, h),
    "clip": lambda h, x, i: ops.clip(h, -0.1, 0.2),
    "tile": lambda h, x, i: ops.tile(h, [1, 2, 3]),
    "repeat": lambda h, x, i: ops.repeat(h, 2, axis=1),
    "pad": lambda h, x, i: ops.pad(h, [[0, 0], [1, 0], [0, 2]]),
    "one hot": lambda h, x, i: ops.one_hot(i, 12),
    "remainders": lambda h, x, i: [i % 3, -i % 3, 7 % (i + 1), h % 0.3, h % -0.25, x % (x + 3.5), 0.5 % (h - 2)],
    "quotients": lambda h, x, i: [i // 3, (3 - i) // 2, 7 // (i + 1), ops.floor_divide(i, i + 2)],
    "cumprod": lambda h, x, i: ops.cumprod(h, axis=1),
    "argsort": lambda h, x, i: [ops.argsort(h, axis=1), ops.argsort(i, axis=-1)],
    "truth of numbers": lambda h, x, i: [ops.any(i, axis=1), ops.all(i, axis=1), ops.logical_not(i)],
    "argmax of masks": lambda h, x, i: ops.argmax(h > 0, axis=1),
    "cumsum": lambda h, x, i: ops.cumsum(h, axis=1),
    "argmax": lambda h, x, i: [ops.argmax(h, axis=-1), ops.argmin(h, axis=1, keepdims=True)],
    "softmax over time": lambda h, x, i: [ops.softmax(h, axis=1), ops.log_softmax(h, axis=1)],
    "new axes": lambda h, x, i: [h[:, None], h[:, -1, None], h[:, :, None, 0]],
    "swapaxes": lambda h, x, i: ops.swapaxes(h, 1, -1),
    "elementwise": lambda h, x, i: [ops.rsqrt(ops.abs(h) + 1), ops.sign(h), ops.floor(3 * h), ops.ceil(3 * h),
                                    ops.sin(h), ops.cos(h), ops.reciprocal(h + 3), ops.prod(h, axis=1)],
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(name, tmp_path):
    x, i = sequence(4, TIME), tokens(TIME)
    made = OPERATIONS[name](L.LSTM(3, return_sequences=True)(x), x, i)
    made = list(made) if isinstance(made, (list, tuple)) else [made]
    model = keras.Model([x, i], [*made, L.Dense(2)(x), i + 1])
    check(randomise(model), [floats(BATCH, TIME, 4), ids(time=TIME)], tmp_path, EXACT)


def test_an_array_is_cast_once_for_all_uses(tmp_path):
    """A small inner model that is called often is a small graph."""
    i, x = keras.Input((1,)), keras.Input((1,))
    inner = keras.Model(i, ops.sum(i * np.ones((1, 5000), "int8"), axis=1, keepdims=True))
    keras.Model(x, L.Concatenate()([inner(x) for _ in range(20)])).save(tmp_path / "m.keras")
    model = le.convert(tmp_path / "m.keras")
    arrays = {id(array) for node in model.graph.nodes for array in node.constants.values() if array.size == 5000}
    assert len(arrays) == 1 and model.predict(np.ones((1, 1))).tolist() == [[5000.0] * 20]


@pytest.mark.parametrize("made, said", [
    (lambda x: ops.split(x, 2, axis=0)[0], "Split.*not the batch"),
    (lambda x: ops.softmax(x, axis=0), "Softmax.*over the batch is not supported"),
    (lambda x: ops.take(x, [0], axis=0), "Take.*over the batch is not supported"),
    (lambda x: x // 2, "FloorDivide.*of floating-point numbers is not supported"),
    (lambda x: ops.top_k(x, 2, sorted=False)[0], "TopK.*sorted=False is not supported"),
    (lambda x: L.GlobalAveragePooling1D()(x, mask=np.ones((1, TIME), "int32")), "with the mask int32 .1, 6."),
    (lambda x: ops.cumsum(x, axis=0), "Cumsum.*over the batch"),
    (lambda x: ops.pad(x, [[0, 0], [1, 1], [0, 0]], mode="reflect"), "mode 'reflect' is not supported"),
])
def test_what_is_not_supported_is_named(made, said):
    x = sequence(4, TIME)
    with pytest.raises(le.UnsupportedError, match=said):
        le.convert(keras.Model(x, made(L.Dense(4)(x))))
