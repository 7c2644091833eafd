"""Keras: what the parser's process may say of a `.keras` or `.h5` file, and whole files the whole way."""

from __future__ import annotations

import random
from collections.abc import Callable

from lstm_engine.importers.keras import described_graph
from lstm_engine.importers.reading import sandbox

from ..mutate import raw, text, zips
from ..target import Folder, Target
from . import answers
from .reading import shown, through, whole_way

WORDS = tuple(word.encode() for word in (
    "LSTM", "GRU", "SimpleRNN", "Bidirectional", "TimeDistributed", "Dense", "Embedding", "InputLayer", "Functional",
    "Sequential", "RNN", "StackedRNNCells", "Lambda", "Masking", "Reshape", "Concatenate", "keras.layers",
    "keras.src.ops.numpy", "keras_version", "backend", "1.2.2", "2.4.0", "2.12.0", "3.10.0", "units", "activation",
    "inbound_nodes", "shared_object_id", "return_sequences", "mask_zero", "stateful", "go_backwards", "hard_sigmoid",
    "Conv1D", "Conv2DTranspose", "SeparableConv1D", "AveragePooling1D", "UpSampling1D", "MultiHeadAttention",
    "Attention", "Dot", "EinsumDense", "GroupNormalization", "Normalization", "Discretization", "CategoryEncoding",
    "TFOpLambda", "SlicingOpLambda", "slice_spec", "function", "equation", "bias_axes", "output_padding",
    "channels_first", "same", "causal", "keepdims", "axis", "__numpy__", "__ellipsis__", "__slice__",
    "keras.src.ops.nn", "__keras_tensor__", "__tuple__", "_CONSTANT_VALUE", "layers/lstm/cell/vars/0", "kernel:0",
    "bias:0"))
_folder = Folder()


def from_answer(zipped: bool) -> Callable[[bytes], str]:
    def execute(data: bytes) -> str:
        try:
            contents, arrays = answers.read(data)
        except (sandbox.Nonsense, sandbox.Refusal) as error:
            return type(error).__name__
        return shown(through(lambda path, options: described_graph(path, contents, arrays, zipped=zipped),
                             _folder.path / "input.keras"))
    return execute


def mutate_answer(data: bytes, rng: random.Random) -> bytes:
    return text.changed_json(data, rng, WORDS)


def mutate_zip(data: bytes, rng: random.Random) -> bytes:
    def change(name: str, record: bytes, rng: random.Random) -> bytes:
        return text.changed_json(record, rng, WORDS) if name.endswith(".json") else raw.damaged(record, rng, WORDS)
    return zips.changed(data, rng, change, WORDS)


def mutate_h5(data: bytes, rng: random.Random) -> bytes:
    return raw.damaged(data, rng, WORDS)


def targets() -> dict[str, Target]:
    made = [
        Target("keras", "what the parser's process may say of a .keras file", from_answer(True), mutate_answer, WORDS,
               largest=64 << 10),
        Target("h5", "what the parser's process may say of an .h5 file", from_answer(False), mutate_answer, WORDS,
               largest=64 << 10),
        Target("keras-whole", ".keras files the whole way", whole_way(".keras"), mutate_zip, WORDS, 64 << 10, True),
        Target("h5-whole", ".h5 files the whole way", whole_way(".h5"), mutate_h5, WORDS, 64 << 10, True),
    ]
    return {target.name: target for target in made}
