"""What is done while faults are injected: each with what is right, and what has to hold afterwards."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import model_files
import numpy as np

import lstm_engine as le
from lstm_engine.cli.main import main as command_line

OLD = b"what stood here before"


class Operation:
    """One thing that a caller does. `prepare` and `answer` run without faults, `run` with one."""

    name = ""
    files: tuple[Path, ...] = ()        # what errors of files may name
    lasting = True                      # whether something of it is used again, and has to be right then
    quick = True                        # whether it can be done thousands of times
    most = 10**9                        # points of it, where each takes long

    def prepare(self) -> None:
        """Put everything where `run` begins."""

    def run(self) -> Any:
        raise NotImplementedError

    def answer(self, made: Any) -> bytes:
        """What `run` made, in bytes that are the same whenever it is right."""
        return model_files.bits(made)

    def left(self, came_through: bool = False) -> str:
        """What a run that failed has left wrong, "" for nothing. came_through: it may have been whole all the same, its
        result lost on the way to the caller."""
        return ""


class Read(Operation):
    """A file becomes a model."""

    lasting = False

    def __init__(self, kind: str, folder: Path) -> None:
        if kind in model_files.IN_A_CHILD:
            self.most, self.quick = 60, False
        self.source = model_files.KINDS[kind](folder)
        with contextlib.suppress(le.FormatError):
            le.load(b"")            # loads what a file that seems to be something else is asked, which stays loaded
        self.name = f"{'load' if kind == 'lstm' else 'convert'} {kind}"
        # A file with parts beside it is said by the name of either.
        self.files = (self.source.path, *(Path(spec) for spec in [self.source.options.get("spec")] if spec),
                      self.source.path.parent / "weights.bin")

    def run(self) -> le.Model:
        return self.source.model()

    def answer(self, made: le.Model) -> bytes:
        return model_files.bits(made.predict(self.source.x))


class Call(Operation):
    """A call of a model that nobody has used; after one that failed it gives what another model of the kind gives."""

    def __init__(self, name: str, make: Callable[[], le.Model], call: Callable[[le.Model], Any]) -> None:
        self.name, self._make, self._call = name, make, call
        self._right = self.answer(call(make()))

    def prepare(self) -> None:
        self._model = self._make()

    def run(self) -> Any:
        return self._call(self._model)

    def left(self, came_through: bool = False) -> str:
        return "" if self.answer(self.run()) == self._right else "the model gives other numbers"


class Streamed(Operation):
    """A call of a stream; when it fails the state is what it was."""

    def __init__(self, name: str, model: le.Model, call: Callable[[le.Stream], Any]) -> None:
        self.name, self._model, self._call = name, model, call

    def prepare(self) -> None:
        self._stream = self._model.stream(batch=2)
        self._stream.step(model_files.X[:, 0])
        self._before = self._stream.state
        self._call(self._stream)
        self._after = self._stream.state
        self._stream.state = self._before

    def run(self) -> Any:
        return self._call(self._stream)

    def left(self, came_through: bool = False) -> str:
        now = self._stream.state
        if came_through and same_states(now, self._after):
            return ""
        return "" if same_states(now, self._before) else "the stream's state has changed"


def same_states(a: dict, b: dict) -> bool:
    return all(np.array_equal(part, b[layer][name]) for layer, parts in a.items() for name, part in parts.items())


class Write(Operation):
    """A file is written where another stood: afterwards there is the one or the other, and nothing beside it."""

    def __init__(self, name: str, path: Path, call: Callable[[Path], None], *reads: Path, fresh: bool = False) -> None:
        self.name, self.path, self._call, self._fresh = name, path, call, fresh
        path.parent.mkdir(exist_ok=True)
        self.files = (path, *reads)
        self._call(path)
        self._new = self.content()

    def prepare(self) -> None:
        if self._fresh:
            self.path.unlink(missing_ok=True)
        else:
            self.path.write_bytes(OLD)

    def run(self) -> None:
        self._call(self.path)

    def answer(self, made: Any) -> bytes:
        return self.content()

    def content(self) -> bytes:
        """What the file says: an archive says the same in more than one way."""
        data = self.path.read_bytes()
        if self.path.suffix != ".npz" or data == OLD:
            return data
        with np.load(io.BytesIO(data)) as arrays:
            return b"".join(name.encode() + array.tobytes() for name, array in arrays.items())

    def left(self, came_through: bool = False) -> str:
        beside = [entry.name for entry in self.path.parent.iterdir() if entry != self.path]
        if beside:
            return f"left beside the file: {beside}"
        return "" if self.whole() else "neither the old file nor the new one"

    def is_new(self) -> bool:
        return self.path.exists() and self.content() == self._new

    def whole(self) -> bool:
        """Whether the file is the old or the new one."""
        if not self.path.exists():
            return self._fresh
        return self.content() in (self._new, OLD)


class Failed(Exception):
    """The command line ended with an exit code, and said why."""


@contextlib.contextmanager
def _streams(stdout: Path | None) -> Iterator[io.StringIO]:
    """stdout into a file, as a shell's > puts it; stderr into text."""
    before = sys.stdout
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        if stdout is None:
            with contextlib.redirect_stdout(io.StringIO()):
                yield err
            return
        sys.stdout = os.fdopen(os.open(stdout, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), "w")
        try:
            yield err
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.close()
            sys.stdout = before


def command(*arguments: object) -> None:
    with _streams(None) as err:
        code = command_line(list(map(str, arguments)))
    if code:
        raise Failed(f"exit code {code}: {err.getvalue().strip()}")


def reads(folder: Path) -> Iterator[Operation]:
    for kind in model_files.KINDS:
        yield Read(kind, folder)


def calls(folder: Path) -> Iterator[Operation]:
    """Of models that are there: predict in its ways, streams, recorded plans, pickles."""
    make, x = model_files.small_model, model_files.X
    long = np.concatenate([x] * 4, axis=1)
    yield Call("predict", make, lambda model: model.predict(x))
    yield Call("predict again", lambda: used(make(), x, 2), lambda model: model.predict(x))
    yield Call("predict, two threads", make, lambda model: model.predict(np.concatenate([x] * 8), threads=2))
    yield Call("predict, lengths and states", make, lambda model: model.predict(
        long, [5, 20], return_state=True, batch_size=1)[0])
    yield Call("predict, a list", make, lambda model: np.concatenate(model.predict([x[0], x[1, :3]])))
    yield Call("predict, missing values", make, lambda model: model.predict(np.where(x > 0.4, np.nan, x), nan="mask"))
    yield Call("predict, a megabyte", make, lambda model: model.predict(np.tile(x, (100, 120, 1))))
    yield Call("pickle", make, lambda model: pickle.loads(pickle.dumps(model)).predict(x))
    last = le.Model([le.LSTM(model_files.W[None], model_files.R[None], return_sequences=False),
                     le.Dense(model_files.KERNEL)])
    for name, model, call in (("step", make(), lambda stream: stream.step(x[:, 1])),
                              ("run", make(), lambda stream: stream.run(x[:, 1:])),
                              ("run, a list", make(), lambda stream: stream.run(x[:, 1:].tolist())),
                              ("run, last steps", last, lambda stream: stream.run(x[:, 1:]))):
        yield Streamed(f"stream.{name}", model, call)
    graph = model_files.KINDS["onnx"](folder).model().graph
    for number in (2, 3, 4):                    # a plan is recorded when a shape comes again
        yield Call(f"replay, call {number} of a shape", lambda times=number - 1: used(le.Model(graph), x, times),
                   lambda model: model.predict(x))


def used(model: le.Model, x: np.ndarray, times: int) -> le.Model:
    for _ in range(times):
        model.predict(x)
    return model


def writes(folder: Path) -> Iterator[Operation]:
    """save, and what the command line writes."""
    model = model_files.small_model()
    wide = le.Model([le.Dense(model_files.floats(300, 300))])          # more than a buffer takes
    given = folder / "given.lstm", folder / "x.npy"
    model.save(given[0])
    np.save(given[1], model_files.X)
    source = model_files.KINDS["npz"](folder)
    yield Write("save", folder / "save" / "model.lstm", model.save)
    yield Write("save, a new file", folder / "new" / "model.lstm", model.save, fresh=True)
    yield Write("save, large", folder / "large" / "model.lstm", wide.save)
    spec = Path(source.options["spec"])
    yield Write("command convert", folder / "convert" / "made.lstm", lambda path: command(
        "convert", source.path, "--spec", spec, "-o", path), source.path, spec)
    for ending in ("npy", "npz", "csv"):
        yield Write(f"command predict, {ending}", folder / ending / f"y.{ending}", lambda path: command(
            "predict", *given, "-o", path), *given)
