"""What a long-lived process does with the engine, in small steps that tools/soak.py puts in a random order.

Each action takes the world and says nothing; an answer that is wrong raises AssertionError. What is right is what the
first model of a file gave for an input; the rules of the same bits hold for every shape, thread count and way after it.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import model_files
import numpy as np
from model_files import bits

import lstm_engine as le
from lstm_engine.cli.main import main as command_line


class World:
    """The models and streams alive, and the right answers. rng: what every choice is taken from."""

    MOST_MODELS = 6

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.rng = np.random.default_rng(seed)
        self.sources = {kind: make(folder) for kind, make in model_files.KINDS.items()}
        self.right = {kind: bits(source.model().predict(source.x)) for kind, source in self.sources.items()}
        self.models: list[tuple[str, le.Model]] = []
        self.streams: list[le.Stream] = []
        self._layers = [le.LSTM(*_lstm(self.rng, 16, 128)), le.Dense(self.rng.random((128, 64), "f4"))]
        self.large = le.Model(self._layers)

    def drop(self) -> None:
        """Let go of everything; what a model keeps for its next calls goes with it."""
        self.models.clear()
        self.streams.clear()
        self.large = le.Model(self._layers)

    def pick(self, *values: Any) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def keep(self, kind: str, model: le.Model) -> None:
        """Add a model, which says what its file always said; the oldest goes when there are many."""
        assert bits(model.predict(self.sources[kind].x)) == self.right[kind], kind
        self.models.append((kind, model))
        del self.models[:-self.MOST_MODELS]

    def model(self) -> tuple[str, le.Model]:
        if not self.models:
            load(self)
        return self.models[int(self.rng.integers(len(self.models)))]


def _lstm(rng: np.random.Generator, features: int, hidden: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.random((1, 4 * hidden, features), "f4") - 0.5, rng.random((1, 4 * hidden, hidden), "f4") - 0.5


def load(world: World) -> None:
    """A model of a file that is read in this process."""
    kind = world.pick(*sorted(world.sources.keys() - model_files.IN_A_CHILD))
    world.keep(kind, world.sources[kind].model())


def convert_in_a_child(world: World) -> None:
    kind = world.pick(*sorted(model_files.IN_A_CHILD))
    world.keep(kind, world.sources[kind].model())


def predict(world: World) -> None:
    """The rows known to be right among others, in a batch of any size."""
    kind, model = world.model()
    x, count = world.sources[kind].x, int(world.rng.integers(1, 20))
    y = model.predict(np.concatenate([x] * count), threads=world.pick(None, 1, 2, 3))
    if world.sources[kind].path.suffix != ".onnx":                     # whose rows are its second axis
        assert bits(y[-len(x):]) == world.right[kind], kind


def predict_shapes(world: World) -> None:
    """Shapes that change with every call, on a model large enough for several threads."""
    shape = world.pick(1, 2, 7, 32), int(world.rng.integers(1, 60)), 16
    x = world.rng.random(shape, "f4")
    one = world.large.predict(x, threads=1)
    assert np.array_equal(world.large.predict(x, threads=world.pick(2, 3, 4)), one)
    lengths = world.rng.integers(1, shape[1] + 1, shape[0])
    ragged = world.large.predict(x, lengths)
    assert all(np.array_equal(ragged[i, :n], one[i, :n]) for i, n in enumerate(lengths))


def large_outputs(world: World) -> None:
    """Outputs of more than a megabyte, whose memory is used again."""
    x = world.rng.random((world.pick(16, 32), world.pick(300, 500), 16), "f4")
    kept = [world.large.predict(x) for _ in range(3)]
    assert np.array_equal(kept[0], kept[2])


def many_ways(world: World) -> None:
    x = world.rng.random((5, 9, 16), "f4")
    y, state = world.large.predict(x, return_state=True)
    again = world.large.predict(x, batch_size=2, initial_state={name: {k: 0 * v for k, v in parts.items()}
                                                                for name, parts in state.items()})
    assert np.array_equal(again, y)
    assert np.array_equal(world.large.predict(list(x))[3], y[3])
    x[1, 3] = np.nan
    world.large.predict(x, nan="mask", out=np.empty_like(y))


def stream(world: World) -> None:
    """Streams come, run, give their state to others, and are closed or dropped."""
    opened = world.large.stream(batch=world.pick(1, 4), threads=world.pick(None, 1, 2))
    x = world.rng.random((opened.batch, 6, 16), "f4")
    whole = world.large.predict(x)
    assert np.array_equal(opened.step(x[:, 0]), whole[:, 0])
    state = opened.state
    assert np.array_equal(opened.run(x[:, 1:]), whole[:, 1:])
    opened.state = state
    assert np.array_equal(opened.step(x[:, 1]), whole[:, 1])
    opened.reset()
    world.streams.append(opened)
    if len(world.streams) > 5:
        world.streams.pop(0).close()


def save_and_pickle(world: World) -> None:
    kind, model = world.model()
    path = world.folder / f"saved {int(world.rng.integers(4))}.lstm"
    model.save(path)
    world.keep(kind, world.pick(lambda: le.load(path), lambda: pickle.loads(pickle.dumps(model)))())


def from_threads(world: World) -> None:
    """Four threads at once on one model."""
    kind, model = world.model()
    x, wrong = world.sources[kind].x, []

    def call() -> None:
        for _ in range(5):
            if bits(model.predict(x, threads=2)) != world.right[kind]:
                wrong.append(kind)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong


def errors(world: World) -> None:
    """What is refused, by predict and by every reader that works in this process."""
    kind, model = world.model()
    x = world.sources[kind].x
    with refused():
        model.predict(x[..., :-1])
    with refused():
        model.predict(x, lengths=[-1] * len(x))
    with refused():
        model.stream(batch=-1)
    damaged = world.sources[world.pick(*sorted(world.sources.keys() - model_files.IN_A_CHILD))]
    data = bytearray(damaged.path.read_bytes())
    data[int(world.rng.integers(len(data)))] ^= 1 << int(world.rng.integers(8))
    path = world.folder / f"damaged{damaged.path.suffix}"
    path.write_bytes(data[:int(world.rng.integers(len(data) + 1))] if world.pick(True, False) else data)
    with contextlib.suppress(le.LstmEngineError):              # a bit of a weight is nobody's error
        model_files.Source(path, x, damaged.options).model()


@contextlib.contextmanager
def refused() -> Iterator[None]:
    try:
        yield
    except le.LstmEngineError:
        return
    raise AssertionError("what is wrong was not refused")


class _Alarm(Exception):
    pass


def interrupted(world: World) -> None:
    """A signal's handler raises while a long call runs."""
    def ring(*_: object) -> None:
        raise _Alarm

    x = world.rng.random((8, 4000, 16), "f4")
    before = signal.signal(signal.SIGALRM, ring)
    try:
        with contextlib.suppress(_Alarm):
            signal.setitimer(signal.ITIMER_REAL, float(world.rng.uniform(1e-4, 5e-2)))
            try:
                world.large.predict(x, threads=world.pick(1, 2))
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)


def command(world: World) -> None:
    """The command line, in this process: a conversion and a prediction into files."""
    np.save(world.folder / "x.npy", model_files.X)
    npz = world.sources["npz"]
    for arguments in (["convert", npz.path, "--spec", npz.options["spec"], "-o", world.folder / "made.lstm"],
                      ["predict", world.folder / "made.lstm", world.folder / "x.npy",
                       "-o", world.folder / f"y{world.pick('.npy', '.npz', '.csv')}"],
                      ["inspect", world.folder / "none.lstm"]):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            code = command_line(list(map(str, arguments)))
        assert code == (1 if arguments[0] == "inspect" else 0), arguments


def fork(world: World) -> None:
    """A child that predicts, and ends; the parent goes on."""
    x = world.rng.random((8, 20, 16), "f4")
    right = world.large.predict(x, threads=2)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if np.array_equal(world.large.predict(x, threads=2), right) else 1
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0, "the child of a fork gave other numbers"
    assert np.array_equal(world.large.predict(x, threads=2), right)


# How often each comes, of the sum of all.
ACTIONS: dict[Callable[[World], None], int] = {
    load: 8, convert_in_a_child: 1, predict: 20, predict_shapes: 12, large_outputs: 1, many_ways: 6, stream: 10,
    save_and_pickle: 6, from_threads: 4, errors: 8, interrupted: 3, command: 2, fork: 1,
}
