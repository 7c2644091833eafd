"""PyTorch's files: `.pt` and `.pth` (zip or legacy, with a pickle; TorchScript with its code), `.pt2` programs,
`.safetensors`."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable

from lstm_engine.importers import ImportOptions
from lstm_engine.importers import torch as importer

from ..mutate import pickles, raw, text, zips
from ..target import Folder, Target
from .reading import PLAIN, shown, through

WORDS = tuple(word.encode() for word in (
    "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "weight_ih_l0_reverse", "fc.weight", "state_dict", "module.",
    "torch", "FloatStorage", "UntypedStorage", "torch._utils", "_rebuild_tensor_v2", "_rebuild_parameter",
    "collections", "OrderedDict", "torch.nn.modules.rnn", "LSTM", "_parameters", "_modules", "__torch__", "byteorder"))
PROGRAM_WORDS = tuple(word.encode() for word in (
    "torch.ops.aten.linear.default", "torch.ops.aten.lstm.input", "torch.ops.aten.gru.input",
    "torch.ops.aten.view.default", "torch.ops.aten.expand.default", "torch.ops.aten.cat.default",
    "torch.ops.aten.slice.Tensor", "torch.ops.aten.select.int", "torch.ops.aten.embedding.default",
    "torch.ops.aten.sym_size.int", "_operator.mul", "as_tensor", "as_int", "as_ints", "as_expr", "as_sym_int",
    "as_none", "as_bool", "as_float", "as_tensors", "as_string", "s0", "s1", "parameter", "user_input", "buffer",
    "Symbol('s0', positive=True, integer=True)"))
SCRIPT_WORDS = tuple(word.encode() for word in (
    "torch.add", "torch.size", "torch.lstm", "torch.append", "torch.mul", "torch.slice", "torch.cat", "torch.split",
    "torch.copy_", "torch.__getitem__", "torch.__is__", "ops.prim.NumToTensor", "ops.prim.RaiseException", "self.",
    "CONSTANTS.c0", "annotate(List[int], [])", "unchecked_cast(Tensor, x)", "uninitialized(Tensor)", "range(3)", "int(",
    "    for i in range(9):\n", "    while True:\n", "    if torch.eq(torch.size(x, 1), 3):\n",
    "    else:\n      pass\n", "(self).forward(x, )", "inf", "None", "True", "x"))
SCRIPT_SHAPES = ImportOptions(spec={"shapes": {"x": ["batch", "time", 3]}})
SAFE_WORDS = tuple(word.encode() for word in ("F64", "F32", "F16", "BF16", "I64", "I8", "BOOL", "dtype", "shape",
                                               "data_offsets", "__metadata__", "weight_ih_l0", "weight_hh_l0"))


def reading(suffix: str, options: ImportOptions = PLAIN) -> Callable[[bytes], str]:
    folder = Folder()

    def execute(data: bytes) -> str:
        with folder.file(data, f"input{suffix}") as path:
            return shown(through(importer.read, path, options))
    return execute


def mutate_pickled(data: bytes, rng: random.Random) -> bytes:
    """A zip's records, the pickle among them by its opcodes; a legacy file as the row of pickles that it is."""
    def change(name: str, record: bytes, rng: random.Random) -> bytes:
        return pickles.damaged(record, rng, WORDS) if name.endswith(".pkl") else raw.damaged(record, rng, WORDS)
    return zips.changed(data, rng, change, WORDS) if data[:2] == b"PK" else pickles.damaged(data, rng, WORDS)


def mutate_script(data: bytes, rng: random.Random) -> bytes:
    """The records of a TorchScript archive: its pickles by their opcodes, its code by words of the language."""
    def change(name: str, record: bytes, rng: random.Random) -> bytes:
        return pickles.damaged(record, rng, WORDS) if name.endswith(".pkl") else raw.damaged(record, rng, SCRIPT_WORDS)
    return zips.changed(data, rng, change, SCRIPT_WORDS)


def mutate_program(data: bytes, rng: random.Random) -> bytes:
    def change(name: str, record: bytes, rng: random.Random) -> bytes:
        return text.changed_json(record, rng, PROGRAM_WORDS) if name.endswith(".json") else raw.damaged(record, rng)
    return zips.changed(data, rng, change, PROGRAM_WORDS)


def mutate_safetensors(data: bytes, rng: random.Random) -> bytes:
    """The header by its tree, with its length made right."""
    length = struct.unpack("<Q", data[:8])[0] if len(data) > 8 else 0
    if not 0 < length <= len(data) - 8 or rng.random() < 0.2:
        return raw.damaged(data, rng, SAFE_WORDS)
    header, rest = data[8:8 + length], data[8 + length:]
    header = text.changed_json(header, rng, SAFE_WORDS)
    if rng.random() < 0.5:
        rest = _as_long_as_said(header, rest)
    return struct.pack("<Q", len(header)) + header + rest


def _as_long_as_said(header: bytes, rest: bytes) -> bytes:
    """The data cut or filled to where the last tensor ends, if that is near."""
    try:
        end = max(entry["data_offsets"][1] for name, entry in json.loads(header).items() if name != "__metadata__")
        return (rest + bytes(max(0, min(end - len(rest), 4096))))[:end]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError):
        return rest


def targets() -> dict[str, Target]:
    made = [
        Target("torch", ".pt and .pth files: zip and legacy, with a pickle", reading(".pt"), mutate_pickled, WORDS),
        Target("script", "TorchScript archives as programs", reading(".pt", SCRIPT_SHAPES), mutate_script, SCRIPT_WORDS,
               64 << 10),
        Target("pt2", ".pt2 programs of torch.export", reading(".pt2"), mutate_program, PROGRAM_WORDS, 64 << 10),
        Target("safetensors", ".safetensors files", reading(".safetensors"), mutate_safetensors, SAFE_WORDS),
    ]
    return {target.name: target for target in made}
