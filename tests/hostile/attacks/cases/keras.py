"""`.keras` files: the archive, and a configuration that is read as data."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from keras_files import functional, layer, sequential, zipped
from keras_hostile import ARRAYS, CONFIG, SHAPE, H, called, doubling, good, nested, rewritten

from lstm_engine.errors import FormatError, GraphError, UnsupportedError

from ..attack import Table
from ..run import CANARY


def answer() -> np.ndarray:
    """What the good file's LSTM and Dense make of 2 rows and 3 steps of ones, by Keras' equations."""
    arrays = list(ARRAYS.values())
    kernel, recurrent, bias, dense, dense_bias = (array.astype(np.float64) for array in arrays)
    h = c = np.zeros((2, H))
    for _ in range(3):
        i, f, g, o = np.split(np.ones((2, kernel.shape[0])) @ kernel + h @ recurrent + bias, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
    return h @ dense + dense_bias


TABLE = Table(".keras", "model.keras", lambda folder: good(folder))
CODE = "4wEAAAAAAAAAAAAAAAEAAAADAAAA8w=="           # the beginning of a marshalled function
Change = Callable[[zipfile.ZipFile, dict[str, bytes]], object]


def refuse(name: str, source: str, config: dict, message: str, error: type = UnsupportedError) -> None:
    """A whole file with another configuration."""
    TABLE.refuse(name, source, lambda folder: zipped(folder / "model.keras", config, ARRAYS), error, message)


def held(name: str, source: str, entry: dict, message: str, error: type = UnsupportedError) -> None:
    """A configuration that holds this layer behind a good one."""
    refuse(name, source, sequential(layer("LSTM", "lstm", units=H, batch_shape=SHAPE), entry), message, error)


def archive(name: str, source: str, change: Change, message: str, error: type = FormatError, **options: Any) -> None:
    TABLE.refuse(name, source, lambda folder: rewritten(good(folder, **options), change), error, message)


def replaced(member: str, data: bytes) -> Change:
    return lambda archive, contents: contents.update({member: data})


def added(name: str, data: bytes = b"x", method: int = zipfile.ZIP_STORED, link: bool = False) -> Change:
    """A member, in the place of one of that name."""
    def change(file: zipfile.ZipFile, contents: dict[str, bytes]) -> None:
        contents.pop(name, None)
        info = zipfile.ZipInfo("x")
        info.filename = info.orig_filename = name
        info.external_attr = 0o120777 << 16 if link else 0
        file.writestr(info, data, method)
    return change


def lstm(**settings: Any) -> dict:
    return sequential(layer("LSTM", "lstm", **{"units": H, "batch_shape": SHAPE, **settings}),
                      layer("Dense", "dense", units=2))


def truncated(folder: Path) -> Path:
    path = good(folder)
    path.write_bytes(path.read_bytes()[:-100])
    return path


def patched(old: bytes, new: bytes) -> Callable[[Path], Path]:
    """The archive with its first occurrence of some bytes replaced."""
    def make(folder: Path) -> Path:
        path = good(folder)
        path.write_bytes(path.read_bytes().replace(old, new, 1))
        return path
    return make


# Layers that would run code.
held("a Lambda layer", "CVE-2024-3660, CVE-2025-1550", layer("Lambda", "evil", function={
    "class_name": "__lambda__", "config": {"code": CODE}}), "layer 'evil' (Lambda) is refused: it holds Python code")
held("a Lambda that names a function", "CVE-2025-1550, CVE-2025-8747", layer("Lambda", "evil", function={
    "module": "keras.utils", "class_name": "function", "config": "get_file"}), "layer 'evil' (Lambda) is refused")
held("a TFSMLayer", "CVE-2026-1462", layer("TFSMLayer", "evil", filepath="/tmp/model"),
     "layer 'evil' (TFSMLayer) is refused: it runs a TensorFlow")
held("a TorchModuleWrapper", "CVE-2025-49655", layer("TorchModuleWrapper", "evil", module="gASV"),
     "layer 'evil' (TorchModuleWrapper) is refused: it holds a pickled PyTorch module")
held("a class of another module", "CVE-2025-1550", {**layer("LSTM", "evil"), "module": "os"},
     "layer 'evil' is of the custom class 'os.LSTM', which is refused")
held("a registered class of its own", "CVE-2025-1550", {
    **layer("LSTM", "evil"), "module": "keras.layers", "registered_name": "evil>LSTM"},
    "layer 'evil' is of the custom class 'evil>LSTM', which is refused")
for kind in ("StringLookup", "TextVectorization"):
    refuse(f"a {kind} that reads a file", "CVE-2025-12058", sequential(
        layer("InputLayer", "texts", batch_shape=[None], dtype="string"),
        layer(kind, "evil", vocabulary="/etc/passwd")), f"layer 'evil' ({kind}): its vocabulary is '/etc/passwd'; "
        "expected 1 to", FormatError)
refuse("a model class of its own", "CVE-2025-1550", {
    "module": "subprocess", "class_name": "Popen", "config": {"args": f"touch {CANARY}"}, "registered_name": None},
    "a model of class 'Popen' is not supported")
refuse("an activation of another module", "CVE-2025-1550", lstm(activation={
    "class_name": "function", "config": "system", "module": "os", "registered_name": "system"}),
    "layer 'lstm' (LSTM): activation 'system' is not supported")
TABLE.right("an initializer that is code", "CVE-2025-1550", lambda folder: zipped(folder / "model.keras", lstm(
    kernel_initializer={"module": "subprocess", "class_name": "Popen", "config": {"args": f"touch {CANARY}"}}), ARRAYS),
    answer(), "initializers are not read")
TABLE.right("a good file", "no attack", lambda folder: good(folder), answer(), "its numbers")
refuse("a dtype policy with code", "CVE-2025-1550's kind", lstm(dtype={
    "class_name": "QuantizedDTypePolicy", "config": {"mode": "int8"}}),
       "is quantised by Keras (dtype policy 'QuantizedDTypePolicy')")

# Sizes and wiring.
refuse("units of 10^30", "CWE-190", lstm(units=10**30), "'units' is 1000000000000000000000000000000; expected",
    FormatError)
refuse("units of -3", "CWE-195", lstm(units=-3), "'units' is -3; expected a number", FormatError)
refuse("units of true", "CWE-843", lstm(units=True), "'units' is True; expected int", FormatError)
refuse("other units than the weights have", "CWE-131", lstm(units=4), "kernel has the shape [2, 12]; expected",
    FormatError)
refuse("models nested 200 deep", "CWE-674", nested(200), "layers are nested more than 32 deep", FormatError)
refuse("models that call each other 2^20 times", "CVE-2003-1564", doubling(20), "the model has more than 100000 layers")
refuse("a layer that reads itself", "CWE-835", functional([layer("InputLayer", "x", [], batch_shape=SHAPE), layer(
    "Activation", "a", [called("a")], activation="tanh")], ["x", 0, 0], ["a", 0, 0]), "form a cycle through 'a'",
    FormatError)
refuse("an input of 10^12 steps by 2 features", "CWE-789", lstm(batch_shape=[None, 10**12, 2]),
       "each dimension must be a symbol or from 0 to 2147483647, got [batch, 1000000000000, 2]", GraphError)
held("a RepeatVector of 2^50", "CWE-789", layer("RepeatVector", "r", n=2**50),
    "'n' is 1125899906842624; expected a number", FormatError)
held("a name that clears the terminal", "CWE-150", layer("Lambda", "\x1b[2J"), r"'\x1b[2J'")

# The archive.
for shown in ("../evil", "/etc/evil", "C:evil", "a\\..\\evil"):
    archive(f"a member named {shown}", "CVE-2025-12060, zip-slip", added(shown),
        "has the unsafe name")
archive("a member that is a symbolic link", "CVE-2025-12060", added("model.weights.h5", b"/etc/passwd", link=True),
        "zip: record 'model.weights.h5' is a symbolic link")
archive("100 MB of zeros as config.json", "CVE-2019-9674", added("config.json", bytes(100 << 20), zipfile.ZIP_DEFLATED),
        "zip: record 'config.json' has 104857600 bytes packed into")
archive("a configuration of 9 MB", "CWE-400", replaced("config.json", b" " * (9 << 20)),
        "more than the 8388608 allowed for it")
archive("an unknown compression", "CWE-434", lambda archive, contents: setattr(archive, "compression",
    zipfile.ZIP_BZIP2),
        "uses compression method 12; supported: 0 (stored), 8",
        UnsupportedError)
archive("JSON nested 200,000 deep", "CWE-674", replaced("config.json", b"[" * 200_000),
    "config.json: nested too deeply")
archive("JSON with a key given twice", "parser differentials", replaced("config.json", b'{"a": 1, "a": 2}'),
        "config.json: the key 'a' appears twice")
archive("a whole number of 5,000 digits", "CVE-2020-10735", replaced("config.json", b'{"a": ' + b"9" * 5000 + b"}"),
        "config.json: not JSON")
archive("UTF-16", "CWE-176", replaced("config.json", json.dumps(CONFIG).encode("utf-16")),
        "config.json: not UTF-8 at byte 0")
archive("weights as a pickle", "CVE-2025-10155", lambda archive, contents: contents.update(
    {"model.weights.npz": contents.pop("model.weights.h5")}), "weights in model.weights.npz are not supported",
    UnsupportedError)
TABLE.refuse("a truncated archive", "a broken download", truncated, FormatError,
             "zip: no end record: the file is truncated")
TABLE.refuse("a header that names another file", "CVE-2025-1944", patched(b"model.weights.h5", b"model.weights.h6"),
             FormatError, "its header and the directory differ")
TABLE.refuse("an encrypted member", "CVE-2025-1945", patched(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0"),
             UnsupportedError, "is encrypted; supported: plain records")
