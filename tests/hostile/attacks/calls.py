"""What a caller, or somebody beside him, does: each function is a use of a path by the victim."""

from __future__ import annotations

import ctypes
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

import lstm_engine as le
from lstm_engine.files import size_of

from . import uses


def before_opening(name: str, act: Callable[[], object]) -> None:
    """Act once, between whatever was checked before and the system's call that opens a file of this name."""
    done = False

    def hook(event: str, arguments: tuple) -> None:
        nonlocal done
        if event == "open" and not done and isinstance(arguments[0], str) and os.path.basename(arguments[0]) == name:
            done = True
            act()

    sys.addaudithook(hook)


def convert_while_folder_is_exchanged(path: Path) -> Any:
    """When the data in the folder d is opened, d becomes a link to a folder elsewhere, with a file of the same name."""
    return _convert_and_exchange(path, "w.bin")


def convert_before_folder_is_opened(path: Path) -> Any:
    """The same, a step earlier: when d itself is opened."""
    return _convert_and_exchange(path, "d")


def convert_before_file_is_opened(path: Path) -> Any:
    """When the data beside the model is opened, it becomes a link to a file elsewhere."""
    data = path.with_name("w.bin")

    def exchange() -> None:
        data.rename(data.with_name("w.bin.moved"))
        data.symlink_to(path.parent.parent / "outside" / "secret.bin")

    before_opening("w.bin", exchange)
    return uses.convert(path)


def convert_while_link_is_exchanged(path: Path) -> Any:
    """When the file that a link leads to is opened, the link comes to lead to a file elsewhere."""
    link = path.with_name("w.link")

    def exchange() -> None:
        link.unlink()
        link.symlink_to(path.parent.parent / "outside" / "secret.bin")

    before_opening("w.bin", exchange)
    return uses.convert(path)


def _convert_and_exchange(path: Path, when: str) -> Any:
    inside, outside = path.parent / "d", path.parent.parent / "outside"

    def exchange() -> None:
        inside.rename(inside.with_name("d.moved"))
        inside.symlink_to(outside)

    (outside / "secret.bin").rename(outside / "w.bin")
    try:
        before_opening(when, exchange)
        return uses.convert(path)
    finally:
        (outside / "w.bin").rename(outside / "secret.bin")


class _CuttingOs:
    """The module os, with an fstat after which the file is cut to its first bytes."""

    def __init__(self, path: Path, kept: int) -> None:
        self._path, self._kept = path, kept

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def fstat(self, descriptor: int) -> os.stat_result:
        seen = os.fstat(descriptor)
        os.truncate(self._path, self._kept)
        return seen


def convert_while_data_is_cut(path: Path) -> Any:
    """External data is cut to nothing as soon as its size was looked at."""
    from lstm_engine.importers.onnx.reading import external

    external.os = _CuttingOs(path.with_name("w.bin"), 0)  # type: ignore[attr-defined]
    return uses.convert(path)


def _cutting(path: Path) -> Callable[[BinaryIO], int]:
    """`size_of`, after which the file loses its last 8 bytes."""
    def cutting(file: BinaryIO) -> int:
        size = size_of(file)
        os.truncate(path, size - 8)
        return size
    return cutting


def load_while_file_is_cut(path: Path) -> Any:
    """The same of a .lstm file, all but its last bytes kept."""
    from lstm_engine.format import file

    file.size_of = _cutting(path)
    return uses.load(path)


def convert_while_archive_is_cut(path: Path) -> Any:
    """The same of an .npz."""
    from lstm_engine.importers import arrays

    arrays.size_of = _cutting(path)
    return uses.with_spec(path)


X = np.ones((2, 3, 3), np.float32)


def model() -> le.Model:
    """LSTM of 2 units on 3 features."""
    return le.Model([le.LSTM(floats(1, 8, 3), floats(1, 8, 2))])


def tokens() -> le.Model:
    return le.Model([le.Embedding(floats(7, 3)), le.LSTM(floats(1, 8, 3), floats(1, 8, 2))])


def floats(*shape: int) -> np.ndarray:
    return (np.arange(np.prod(shape), dtype=np.float32).reshape(shape) - 3) / 8


def same(given: np.ndarray) -> list:
    """Whether the given array has the answer of ones in native order."""
    return [bool(np.array_equal(model().predict(given), model().predict(X)))]


class Lying:
    """An array-like whose shape and content are two things."""

    shape, dtype, ndim = (2, 3, 3), np.dtype(np.float32), 3

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.ones((1, 1, 1), np.float32)

    def __len__(self) -> int:
        return 10**9


class Bomb:
    """Raises whatever it is asked."""

    def _refuse(self, *_: Any) -> Any:
        raise SystemError("asked")

    __array__ = __len__ = __iter__ = __bool__ = __index__ = __float__ = __getitem__ = __repr__ = __str__ = _refuse


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch lstm_engine_was_here",)


def misaligned() -> np.ndarray:
    raw = np.zeros(X.nbytes + 1, np.uint8)
    raw[1:] = X.reshape(-1).view(np.uint8)
    return raw[1:].view(np.float32).reshape(X.shape)


def read_only() -> np.ndarray:
    given = X.copy()
    given.flags.writeable = False
    return given


def state(*shape: int) -> dict:
    return {"lstm": {"h": np.zeros(shape, np.float32), "c": np.zeros(shape, np.float32)}}


def step(batch: int, rows: int) -> Any:
    with model().stream(batch=batch) as stream:
        return stream.step(np.ones((rows, 3), np.float32))


def object_array() -> np.ndarray:
    given = np.empty((2, 3, 3), object)
    given[:] = Evil()
    return given


# What a caller does, by name: each is used by an attack of cases/api.py.
CALLS: dict[str, Callable[[], Any]] = {
    "ids beyond the table": lambda: tokens().predict(np.full((2, 3), 7)),
    "negative ids": lambda: tokens().predict(np.full((2, 3), -1)),
    "ids of 2^63": lambda: tokens().predict(np.full((2, 3), 2**63, np.uint64)),
    "ids that wrap in 32 bits": lambda: tokens().predict(np.full((2, 3), 2**32)),
    "ids with a fraction": lambda: tokens().predict(np.full((2, 3), 1.5)),
    "ids that are NaN": lambda: tokens().predict(np.full((2, 3), np.nan)),
    "an array of objects": lambda: model().predict(object_array()),
    "an array of text": lambda: model().predict(np.full((2, 3, 3), "a")),
    "an array of records": lambda: model().predict(np.zeros((2, 3), [("a", "f4"), ("b", "f4"), ("c", "f4")])),
    "complex numbers": lambda: model().predict(X.astype(complex)),
    "an object that lies about its shape": lambda: model().predict(Lying()),
    "an object that raises whatever it is asked": lambda: model().predict(Bomb()),
    "a list in itself": lambda: model().predict(in_itself()),
    "2^60 elements without memory": lambda: model().predict(np.broadcast_to(np.float32(1), (2**29, 2**29, 3))),
    "another number of features": lambda: model().predict(np.ones((2, 3, 4), np.float32)),
    "another rank": lambda: model().predict(np.ones((2, 3), np.float32)),
    "no rows": lambda: [list(model().predict(np.ones((0, 3, 3), np.float32)).shape)],
    "lengths beyond the steps": lambda: model().predict(X, [4, 1]),
    "negative lengths": lambda: model().predict(X, [-1, 1]),
    "lengths of 2^63": lambda: model().predict(X, np.array([2**63, 1], np.uint64)),
    "more lengths than rows": lambda: model().predict(X, [1, 1, 1]),
    "a state of another shape": lambda: model().predict(X, initial_state=state(2, 300)),
    "a state of other rows": lambda: model().predict(X, initial_state=state(1, 2)),
    "a state of an unknown layer": lambda: model().predict(X, initial_state={"gru": state(2, 2)["lstm"]}),
    "out that cannot be written": lambda: model().predict(X, out=read_only()[..., :2]),
    "out of another shape": lambda: model().predict(X, out=np.zeros((1, 1, 1), np.float32)),
    "-1 threads": lambda: model().predict(X, threads=-1),
    "2^40 threads": lambda: model().predict(X, threads=2**40),
    "a batch size of 0": lambda: model().predict(X, batch_size=0),
    "a stream of 2^40 rows": lambda: model().stream(batch=2**40),
    "a step of other rows than the stream": lambda: step(2, 3),
    "weights of 4 TB without memory": lambda: le.Model([le.LSTM(
        np.broadcast_to(np.float32(0), (1, 2**20, 2**20)), np.broadcast_to(np.float32(0), (1, 2**20, 2**18)))]),
    "weights of two sizes": lambda: le.Model([le.LSTM(floats(1, 8, 3), floats(1, 8, 3))]),
    "a path with a zero byte": lambda: le.load("model\0.lstm"),
    "a name of 400 characters": lambda: le.load("x" * 400),
    "a path that is a number": lambda: le.load(0),
    "an instruction set that is a path": lambda: le.set_isa("../../evil.so"),
    "big-endian": lambda: same(X.astype(">f4")),
    "negative strides": lambda: same(X[:, ::-1, ::-1]),
    "Fortran order": lambda: same(np.asfortranarray(X)),
    "every second element": lambda: same(np.repeat(X, 2, axis=2)[..., ::2]),
    "misaligned": lambda: same(misaligned()),
    "read-only": lambda: same(read_only()),
    "one element, many strides of 0": lambda: same(np.broadcast_to(np.float32(1), X.shape)),
    "out over the input": lambda: over_input(),
}


def in_itself() -> list:
    items: list = []
    items.append(items)
    return items


def over_input() -> list:
    """The output is written into the input's own memory."""
    gru = le.Model([le.GRU(floats(1, 9, 3), floats(1, 9, 3))])
    given = X.copy()
    made = gru.predict(given, out=given)
    return [bool(np.array_equal(made, gru.predict(X)))]


def call(path: Path) -> Any:
    """Make the call that is named in a file."""
    return CALLS[path.read_text()]()


def misdeed(path: Path) -> list:
    """What a file must never bring about, by name, so that the judge can be tried."""
    name, outside = path.read_text(), path.parent.parent / "outside"
    if name == "reads outside":
        (outside / "secret.bin").read_bytes()
    elif name == "writes outside":
        (outside / "new.txt").write_text("x")
    elif name == "runs a program":
        os.system("true")
    elif name == "imports a module":
        import this  # noqa: F401
    elif name == "unpickles":
        pickle.loads(b"cos\nsystem\n.")
    elif name == "opens a socket":
        socket.socket().close()
    elif name == "loads a library":
        ctypes.CDLL(None)
    elif name == "changes its file":
        path.write_text("changed")
    elif name == "leaves a file":
        path.with_name("left.txt").write_text("x")
    elif name == "takes 400 MB":
        np.ones(400 << 20, np.uint8)
    elif name == "takes 400 MB in a child":
        subprocess.run([sys.executable, "-I", "-c", "b'x' * (400 << 20)"], check=True)
    elif name == "crashes":
        ctypes.string_at(0)
    elif name == "ends":
        os._exit(3)
    elif name == "raises an error of no class of ours":
        1 / 0  # noqa: B018
    elif name == "says what a terminal obeys":
        raise le.ArgumentError("clear \x1b[2J")
    return []
