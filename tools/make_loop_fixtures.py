"""Writes small ONNX models whose recurrent layers are Loops, as tf2onnx makes them of TensorFlow's Keras.

    python tools/make_loop_fixtures.py tests/golden/onnx

Run it with TensorFlow 2.3 to 2.15, tf2onnx, and ONNX Runtime. It writes tf2onnx-V.zip for version V of tf2onnx: a file
NAME.onnx a model, and arrays.npz with its inputs NAME/x0, ..., what Keras computes of them, NAME/keras0, ..., and what
ONNX Runtime makes of the file, NAME/y0, ... Layers that tf2onnx itself recognises stand in its files as LSTM or GRU;
kept are those that it leaves as loops: SimpleRNN, GRU without reset_after or written as a cell, masks, both directions.
"""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import tensorflow as tf
import tf2onnx

keras = tf.keras
L = keras.layers
FEATURES, UNITS, OPSET = 3, 4, 15
SEED = 0


def chain(*layers: keras.layers.Layer) -> keras.Model:
    return keras.Sequential([L.Input((None, FEATURES)), *layers])


def tokens() -> keras.Model:
    ids = L.Input((None,), dtype="int32")
    x = L.GRU(UNITS, return_sequences=True)(L.Embedding(10, FEATURES, mask_zero=True)(ids))
    return keras.Model(ids, L.Dense(2)(L.LSTM(UNITS)(x)))


def states() -> keras.Model:
    x, h = L.Input((None, FEATURES)), L.Input((UNITS,))
    return keras.Model([x, h], L.SimpleRNN(UNITS, return_sequences=True, return_state=True)(x, initial_state=h))


MODELS: dict[str, Callable[[], keras.Model]] = {
    "rnn": lambda: chain(L.SimpleRNN(UNITS, return_sequences=True)),
    "rnn_last": lambda: chain(L.SimpleRNN(UNITS, activation="relu", use_bias=False)),
    "rnn_both": lambda: chain(L.Bidirectional(L.SimpleRNN(UNITS, return_sequences=True))),
    "rnn_states": states,
    "rnn_masked": lambda: chain(L.Masking(), L.SimpleRNN(UNITS, return_sequences=True)),
    "gru_reset_before": lambda: chain(L.GRU(UNITS, reset_after=False, return_sequences=True)),
    "gru_reset_before_last": lambda: chain(L.GRU(UNITS, reset_after=False, use_bias=False)),
    "gru_cell": lambda: chain(L.RNN(L.GRUCell(UNITS), return_sequences=True)),
    "gru_hard_sigmoid": lambda: chain(L.GRU(UNITS, activation="relu", recurrent_activation="hard_sigmoid")),
    "gru_masked": lambda: chain(L.Masking(), L.GRU(UNITS)),
    "gru_masked_both": lambda: chain(L.Masking(), L.Bidirectional(L.GRU(UNITS, return_sequences=True))),
    "lstm_masked": lambda: chain(L.Masking(), L.LSTM(UNITS, return_sequences=True)),
    "lstm_masked_last": lambda: chain(L.Masking(), L.LSTM(UNITS)),
    "lstm_masked_both": lambda: chain(L.Masking(), L.Bidirectional(L.LSTM(UNITS, return_sequences=True))),
    "tokens": tokens,
    "stack": lambda: chain(L.RNN([L.LSTMCell(UNITS), L.LSTMCell(UNITS + 1)], return_sequences=True)),
    "stack_of_kinds": lambda: chain(L.RNN([L.GRUCell(UNITS), L.LSTMCell(UNITS), L.SimpleRNNCell(UNITS)])),
    "stack_both": lambda: chain(L.Bidirectional(L.RNN([L.LSTMCell(UNITS), L.GRUCell(UNITS)], return_sequences=True))),
}


def inputs_of(model: keras.Model, numbers: np.random.Generator) -> list[np.ndarray]:
    """Six steps of three rows; where masks are read, one row ends early and one has a hole."""
    made = []
    for value in model.inputs:
        shape = [size or (3 if axis == 0 else 6) for axis, size in enumerate(value.shape)]
        x = numbers.standard_normal(shape).astype(np.float32) if value.dtype == tf.float32 \
            else numbers.integers(1, 10, shape, np.int32)
        if value.dtype != tf.float32 or any(isinstance(layer, L.Masking) for layer in model.layers):
            x[1, 4:] = 0
            x[2, 2] = 0
        made.append(x)
    return made


def main(folder: Path) -> None:
    numbers, arrays = np.random.default_rng(SEED), {}
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / f"tf2onnx-{tf2onnx.__version__}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, build in MODELS.items():
            keras.backend.clear_session()
            model = build()
            model.set_weights([(numbers.standard_normal(array.shape) * 0.5).astype(np.float32)
                               for array in model.get_weights()])
            signature = [tf.TensorSpec(value.shape, value.dtype, name=f"x{i}") for i, value in enumerate(model.inputs)]
            proto, _ = tf2onnx.convert.from_keras(model, input_signature=signature, opset=OPSET)
            assert any(node.op_type == "Loop" for node in proto.graph.node), name
            given = inputs_of(model, numbers)
            session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
            made = session.run(None, {value.name: x for value, x in zip(session.get_inputs(), given)})
            exact = model.predict(given, verbose=0)
            for letter, values in (("x", given), ("y", made), ("keras", exact if isinstance(exact, list) else [exact])):
                arrays.update({f"{name}/{letter}{i}": array for i, array in enumerate(values)})
            archive.writestr(f"{name}.onnx", proto.SerializeToString())
        stored = io.BytesIO()
        np.savez(stored, **arrays)
        archive.writestr("arrays.npz", stored.getvalue())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
