"""Models whose files hold weights alone, as graphs or as ONNX: what bench/tasks.py runs besides files that load."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lstm_engine.graph import GRU, LSTM, Activation, Dense, Embedding, Graph, Value
from lstm_engine.operators import validate

SOFTMAX = Activation("softmax")


def textgenrnn_onnx(path: Path) -> onnx.ModelProto:
    """Embedding, LSTM, LSTM, all three side by side, an average over time by attention, Dense softmax. The matrices of
    a gate are transposed in the file, as cuDNN has them, and its two biases act as their sum."""
    import h5py

    def gates(matrix: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """[1, 4*H, K], gates i, f, c, o of the file as i, o, f, c."""
        i, f, c, o = (gate.T.reshape(shape, order="F").T for gate in np.split(matrix, 4, axis=1))
        return np.concatenate([i, o, f, c])[None]

    weights: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        def read(name: str) -> np.ndarray:
            return file[name][()]

        weights["table"] = read("embedding/embedding/embeddings:0")
        for n, features in ((1, 100), (2, 128)):
            kernel, recurrent, bias = (read(f"rnn_{n}/rnn_{n}/{kind}:0")
                                       for kind in ("kernel", "recurrent_kernel", "bias"))
            weights[f"W{n}"] = gates(kernel, (features, 128))
            weights[f"R{n}"] = np.concatenate([np.split(recurrent, 4, axis=1)[g] for g in (0, 3, 1, 2)])[None]
            i, f, c, o = np.split(bias.reshape(2, 512).sum(axis=0), 4)
            weights[f"B{n}"] = np.concatenate([i, o, f, c, np.zeros(512, np.float32)])[None]
        weights["attention"] = read("attention/attention/attention_W:0")
        weights["kernel"], weights["bias"] = read("output/output/kernel:0"), read("output/output/bias:0")
    constants = weights | {"directions": np.array([1]), "time": np.array([1])}

    def op(kind: str, inputs: list[str], output: str, **attributes) -> onnx.NodeProto:
        return helper.make_node(kind, inputs, [output], **attributes)

    nodes = [op("Gather", ["table", "ids"], "embedded"), op("Transpose", ["embedded"], "x1", perm=[1, 0, 2])]
    for n in (1, 2):
        nodes += [op("LSTM", [f"x{n}", f"W{n}", f"R{n}", f"B{n}"], f"y{n}", hidden_size=128),
                  op("Squeeze", [f"y{n}", "directions"], f"x{n + 1}"),
                  op("Transpose", [f"x{n + 1}"], f"h{n}", perm=[1, 0, 2])]
    nodes += [op("Concat", ["embedded", "h1", "h2"], "all", axis=-1), op("MatMul", ["all", "attention"], "scores"),
              op("Softmax", ["scores"], "shares", axis=1), op("Mul", ["all", "shares"], "weighted"),
              op("ReduceSum", ["weighted", "time"], "context", keepdims=0),
              op("MatMul", ["context", "kernel"], "product"), op("Add", ["product", "bias"], "logits"),
              op("Softmax", ["logits"], "softmax", axis=-1)]
    graph = helper.make_graph(
        nodes, "textgenrnn", [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", 40])],
        [helper.make_tensor_value_info("softmax", TensorProto.FLOAT, ["batch", 465])],
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in constants.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def word_segmentation(path: Path) -> Graph:
    """ICU's: ids of characters to the probabilities of begin, inside, end and single."""
    weights = json.loads(path.read_text(encoding="utf-8"))
    arrays = [np.array(weights[f"mat{n}"]["data"], np.float32).reshape(weights[f"mat{n}"]["dim"])
              for n in range(1, 10)]

    def of(matrix: np.ndarray) -> np.ndarray:
        """i, f, c, o along the last axis -> i, o, f, c along the first."""
        i, f, c, o = np.split(matrix, 4, axis=-1)
        return np.concatenate([i, o, f, c], axis=-1).T

    bias = np.stack([of(arrays[n]) for n in (3, 6)])
    nodes = (Embedding(name="characters", inputs=("ids",), outputs=("characters",), table=arrays[0]),
             LSTM(name="lstm", inputs=("characters",), outputs=("lstm",), direction="bidirectional",
                  W=np.stack([of(arrays[n]) for n in (1, 4)]), R=np.stack([of(arrays[n]) for n in (2, 5)]),
                  B=np.concatenate([bias, np.zeros_like(bias)], axis=1)),
             Dense(name="tags", inputs=("lstm",), outputs=("tags",), kernel=arrays[7], bias=arrays[8],
                   activation=SOFTMAX))
    return validate(Graph((Value("ids", ("batch", "time"), "int32"),), nodes, ("tags",)))


def phoneme_graphs(path: Path) -> tuple[Graph, Graph]:
    """g2p_en's encoder (ids -> its last state) and decoder (ids, state -> logits of every step, the next state)."""
    with np.load(path) as file:
        arrays = {name: file[name].astype(np.float32) for name in file}

    def gru(name: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> GRU:
        """Gates r, z, n of PyTorch as z, r, h."""
        def of(kind: str) -> np.ndarray:
            r, z, n = np.split(arrays[f"{name}_{kind}"], 3)
            return np.concatenate([z, r, n])[None]

        return GRU(name=name, inputs=inputs, outputs=outputs, W=of("w_ih"), R=of("w_hh"),
                   B=np.concatenate([of("b_ih"), of("b_hh")], axis=1), linear_before_reset=True)

    ids = Value("ids", ("batch", "time"), "int32")

    def embedding(table: str) -> Embedding:
        return Embedding(name="emb", inputs=("ids",), outputs=("emb",), table=arrays[table])

    encoder = Graph((ids,), (embedding("enc_emb"), gru("enc", ("emb",), ("", "last"))), ("last",))
    decoder = Graph((ids, Value("h", ("batch", 256))),
                    (embedding("dec_emb"), gru("dec", ("emb", "", "h"), ("y", "next")),
                     Dense(name="fc", inputs=("y",), outputs=("fc",), kernel=arrays["fc_w"].T.copy(),
                           bias=arrays["fc_b"])), ("fc", "next"))
    return validate(encoder), validate(decoder)
