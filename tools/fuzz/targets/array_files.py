"""`.npz` files, by both of their readers (weights, and the input of `lstm-engine predict`), and specs."""

from __future__ import annotations

import random

import numpy as np

from lstm_engine.cli.reading import load_npz
from lstm_engine.errors import LstmEngineError
from lstm_engine.importers import ImportOptions
from lstm_engine.importers import arrays as importer

from ..mutate import raw, text, zips
from ..rule import reason
from ..target import CORPUS, Folder, Target
from .reading import shown, through

# The arrays that the specs of the corpus name; a spec is read over the first file of the corpus of .npz files.
SPEC = {"inputs": [{"name": "x", "shape": ["batch", "time", 3]}],
        "nodes": [{"op": "LSTM", "name": "lstm", "W": ["w"], "R": ["r"]},
                  {"op": "Dense", "name": "dense", "kernel": "k", "bias": "b"}]}
WORDS = tuple(word.encode() for word in (
    "NUMPY\x01\x00", "NUMPY\x03\x00", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", "|O", "<f8", ">f4",
    "<c8", "|V4", "'shape': (0, 8589934592, 8589934592)", "w.npy", "r.npy"))
SPEC_WORDS = tuple(word.encode() for word in (
    "inputs", "nodes", "outputs", "op", "name", "LSTM", "GRU", "RNN", "Dense", "Embedding", "Pool", "Operator", "torch",
    "layer", "tensor", "transpose", "gates", "concat", "zeros", "ifco", "ignore", "*", "w", "r", "k", "b", "activation",
    "bidirectional", "op_type", "attributes", "constants"))
_folder = Folder()


def read_npz(data: bytes) -> str:
    with _folder.file(data, "input.npz") as path:
        try:
            outcome = shown(through(importer.read, path, ImportOptions(spec=SPEC)))
        except LstmEngineError as error:
            outcome = reason(error)
        try:
            load_npz(path)
        except (LstmEngineError, MemoryError, RecursionError) as error:      # the command line takes all of these
            outcome += f"; {type(error).__name__}"
    return outcome


def read_spec(data: bytes) -> str:
    with _folder.file(data, "input.json") as path:
        return shown(through(importer.read, CORPUS / "npz" / "good.npz", ImportOptions(spec=path)))


def mutate_npz(data: bytes, rng: random.Random) -> bytes:
    return zips.changed(data, rng, _change_npy, WORDS)


def _change_npy(name: str, record: bytes, rng: random.Random) -> bytes:
    """An array's header with another type or shape, or its bytes changed."""
    if rng.random() < 0.5 or not record.startswith(b"\x93NUMPY"):
        return raw.damaged(record, rng, WORDS)
    shape = tuple(rng.choice((0, 1, 2, 3, 8, 12, 2**33, -1)) for _ in range(rng.randrange(5)))
    descr = rng.choice(("<f4", ">f4", "<f8", "<f2", "<i8", "|O", "<c8", "|V4", "|S3", "<M8[s]", "|b1"))
    header = repr({"descr": descr, "fortran_order": rng.random() < 0.3, "shape": shape}).encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    size = abs(int(np.prod([float(size) for size in shape]))) * np.dtype(descr).itemsize
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(min(size, 4096))


def mutate_spec(data: bytes, rng: random.Random) -> bytes:
    return text.changed_json(data, rng, SPEC_WORDS)


def targets() -> dict[str, Target]:
    return {"npz": Target("npz", ".npz files, as weights and as input", read_npz, mutate_npz, WORDS),
            "spec": Target("spec", "spec JSON over arrays", read_spec, mutate_spec, SPEC_WORDS)}
