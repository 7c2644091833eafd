"""Weights in JSON: state dicts, with a description or without, RTNeural's layers, and indices of shards."""

from __future__ import annotations

import json
import random

from lstm_engine.importers import import_graph

from ..mutate import text
from ..target import Folder, Target
from .reading import shown
from .torch_files import SAFE_WORDS

# What lies beside an index: one tensor in each of two shards.
SHARDS = {"a.safetensors": ("weight_ih_l0", (3, 2)), "b.safetensors": ("weight_hh_l0", (3, 1))}
WORDS = tuple(word.encode() for word in (
    "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "lin.weight", "rec.weight_ih_l0", "state_dict", "model_data",
    "SimpleRNN", "skip", "hidden_size", "unit_type", "in_shape", "layers", "type", "dense", "lstm", "gru", "activation",
    "weights", "shape", "architecture", "config", "version", "input_size", "num_layers", "weight_map", "metadata",
    "a.safetensors", "b.safetensors", "../a", "1e999", "NaN"))


def _shard(name: str, shape: tuple[int, ...]) -> bytes:
    size = 4 * shape[0] * shape[1]
    header = json.dumps({name: {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


def targets() -> dict[str, Target]:
    folder = Folder()
    for name, tensor in SHARDS.items():
        (folder.path / name).write_bytes(_shard(*tensor))

    def execute(data: bytes) -> str:
        with folder.file(data, "input.json") as path:
            return shown(import_graph(path))

    def mutate(data: bytes, rng: random.Random) -> bytes:
        return text.changed_json(data, rng, (*WORDS, *SAFE_WORDS))

    return {"json": Target("json", "weights in JSON, and indices of shards", execute, mutate, WORDS)}
