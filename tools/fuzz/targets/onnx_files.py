"""ONNX: a protobuf message behind its parser, what the parser's process may answer instead, the model then run, and
whole files the whole way. External data lies beside the file: `w.bin`, and a link that leads out."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from lstm_engine.graph import Graph
from lstm_engine.importers.onnx.mapping.to_graph import to_graph
from lstm_engine.importers.onnx.reading import proto
from lstm_engine.importers.onnx.reading.container import described_model
from lstm_engine.importers.onnx.reading.external import ExternalData
from lstm_engine.importers.reading import sandbox
from lstm_engine.importers.reading.inside import Folders
from lstm_engine.limits import Limits
from lstm_engine.operators import OPERATORS

from ..mutate import messages, raw, text
from ..target import Folder, Target
from . import answers
from .reading import shown, through, whole_way
from .running import run

WORDS = (*OPERATORS, "LSTM", "GRU", "RNN", "Gather", "Constant", "If", "Loop", "Scan", "ai.onnx", "com.microsoft",
         "location", "offset", "length", "w.bin", "../w.bin", "out/w.bin", "/etc/hostname", "hidden_size", "direction",
         "bidirectional", "axes", "axis", "perm", "allowzero", "\u00e9", "")
BYTES = tuple(word.encode() for word in WORDS if word)
_folder = Folder()
(_folder.path / "w.bin").write_bytes(bytes(range(256)))
(_folder.path / "out").symlink_to("/")


def described(data: bytes) -> bytes:
    """What the parser's process answers to these bytes: the header before the arrays."""
    # Whatever it raises is an answer of that process: an error about the file.
    return answers.header_of(*proto.describe(onnx.ModelProto.FromString(data)))


def graph_of(header: bytes) -> Graph:
    """What the parent makes of an answer."""
    result, arrays = answers.read(header)
    def read(path: Any, options: Any) -> Graph:
        external = ExternalData(Folders(path), Limits())
        return to_graph(described_model(path, result, arrays, external), options, str(path))
    return through(read, _folder.path / "input.onnx", name="onnx")


def from_message(then: Callable[[Graph], str]) -> Callable[[bytes], str]:
    def execute(data: bytes) -> str:
        try:
            header = described(data)
        except Exception as error:
            return f"the parser: {type(error).__name__}"
        try:
            graph = graph_of(header)
        except sandbox.Nonsense:
            return "more than is read"
        return then(graph)
    return execute


def from_answer(data: bytes) -> str:
    try:
        return shown(graph_of(data))
    except (sandbox.Nonsense, sandbox.Refusal) as error:
        return type(error).__name__


def mutate(data: bytes, rng: random.Random) -> bytes:
    try:
        message = onnx.ModelProto.FromString(data)
    except DecodeError:
        return raw.damaged(data, rng, BYTES)
    if rng.random() < 0.1:
        return raw.damaged(data, rng, BYTES)
    messages.damaged(message, rng, WORDS, ("NodeProto", "AttributeProto", "TensorProto", "Dimension"))
    return _serialized(message) or data


def _serialized(message: Any) -> bytes:
    try:
        return message.SerializeToString()
    except (ValueError, DecodeError):
        return b""


def mutate_answer(data: bytes, rng: random.Random) -> bytes:
    return text.changed_json(data, rng, BYTES)


def targets() -> dict[str, Target]:
    made = [
        Target("onnx", "ONNX messages behind the parser, external data beside them", from_message(shown), mutate,
               BYTES),
        Target("onnx-answer", "what the parser's process may say of an ONNX file", from_answer, mutate_answer, BYTES),
        Target("onnx-run", "ONNX messages that are read, then run in every way", from_message(run), mutate, BYTES,
               grows=True),
        Target("onnx-whole", ".onnx files the whole way", whole_way(".onnx"), mutate, BYTES, whole=True),
    ]
    return {target.name: target for target in made}
