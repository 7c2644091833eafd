"""Random sequences of calls on a few models: each answer is that of a fresh plain call to the bit, or our own error.

A call is some bytes: which, on which rows and steps, and how the arguments are spoilt. The truth of a sequence is what
a copy of the model that nothing else has called gives for each row alone.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from misuse import ODD
from same_bits import VOCABULARY, Network

import lstm_engine as le
from lstm_engine.errors import LstmEngineError

from ..mutate import raw
from ..rule import Broken, reason
from ..target import Target
from .hostile_graphs import Bytes
from .running import same

KINDS = ("lstm", "tokens", "stack", "lstm bidirectional", "dense of the last step", "gru reset after",
         "mean of the steps")
ROWS, STEPS = 5, 7
MOST_CALLS = 8
ODD_VALUES = tuple(ODD.values())


class Subject:
    """One model, its input, and the truth about every row and number of steps."""

    def __init__(self, kind: str) -> None:
        network = Network(kind, features=3, hidden=4, batch=ROWS, time=STEPS, seed=KINDS.index(kind))
        self.model, self._fresh = network.model(le.info()["isas"][-1]), network.model(le.info()["isas"][-1])
        self.x = network.input()
        self.sequence = len(next(iter(self.model.outputs.values())).shape) == 3
        self._known: dict[tuple[int, int], np.ndarray] = {}

    def truth(self, rows: Any, steps: int) -> np.ndarray:
        """Plain calls, a row at a time, of these rows' first steps."""
        made = []
        for row in rows:
            if (row, steps) not in self._known:
                self._known[row, steps] = self._fresh.predict(np.ascontiguousarray(self.x[row:row + 1, :steps]))
            made.append(self._known[row, steps])
        return np.concatenate(made) if made else self._fresh.predict(self.x[:0, :steps])


@cache
def subject(kind: str) -> Subject:
    return Subject(kind)


def _laid_out(x: np.ndarray, how: int) -> Any:
    """The same numbers in another layout, dtype or container."""
    wide = np.float64 if x.ndim == 3 else np.int64
    held = np.repeat(x[None], 2, 0)
    return (lambda: x, lambda: np.asfortranarray(x), lambda: x[::-1].copy()[::-1], lambda: x.astype(wide),
            lambda: x.astype(x.dtype.newbyteorder(">")), lambda: held[1], lambda: x.tolist() if x.size else x,
            lambda: _unaligned(x), lambda: {"x": x}, lambda: np.concatenate([x, x], 1)[:, :x.shape[1]])[how % 10]()


def _unaligned(x: np.ndarray) -> np.ndarray:
    made = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    made[...] = x
    return made


class Calls:
    """The calls of one input, in turn, on one model."""

    def __init__(self, data: bytes) -> None:
        self.bytes = Bytes(data)
        self.subject = subject(self.bytes.one(KINDS))
        self.model = self.subject.model
        self.done: dict[str, None] = {}

    def run(self) -> str:
        calls: tuple[Callable[[], None], ...] = (self.predict, self.predict, self.lengths, self.spoilt, self.stream,
                                                 self.states, self.copied, self.out)
        for _ in range(MOST_CALLS):
            if not self.bytes.left():
                break
            call = self.bytes.one(calls)
            try:
                call()
                self.done[call.__name__] = None
            except LstmEngineError as error:
                self.done[reason(error)[:40]] = None
        return " ".join(self.done)

    def _rows(self) -> tuple[list[int], int, np.ndarray]:
        """Some rows, in some order, of some steps: their numbers, the steps, the array."""
        rows = [self.bytes.whole(ROWS) for _ in range(self.bytes.whole(ROWS + 1))]
        steps = 1 + self.bytes.whole(STEPS)
        return rows, steps, np.ascontiguousarray(self.subject.x[rows, :steps])

    def _same(self, what: str, got: Any, wanted: np.ndarray) -> None:
        if not same(np.ascontiguousarray(got), wanted):
            raise Broken("differs", f"{what}: not the bits of a fresh plain call")

    def predict(self) -> None:
        rows, steps, x = self._rows()
        kept = x.copy()
        options: dict[str, Any] = {}
        if not self.bytes.whole(2):
            options["threads"] = self.bytes.one((1, 2, 3, 0, -1, 2**40))
        if not self.bytes.whole(3):
            options["batch_size"] = self.bytes.one((1, 2, 3, 100, 0, -1))
        if not self.bytes.whole(3):
            options["nan"] = self.bytes.one(("mask", "error", "propagate", "x"))
        self._same(f"predict {options}", self.model.predict(_laid_out(x, self.bytes.whole(10)), **options),
                   self.subject.truth(rows, steps))
        self._same("the input", x, kept)

    def lengths(self) -> None:
        rows, steps, x = self._rows()
        own = np.array([self.bytes.whole(steps + 1) for _ in rows], self.bytes.one(("i4", "i8", "u1", "f4")))
        got = self.model.predict(x, own)
        listed = self.model.predict([x[row, :length] for row, length in enumerate(own.astype(int))]) if rows else []
        for row, length in enumerate(own.astype(int)):
            if not length:
                continue                                   # what a row of no steps gives, each network says for itself
            wanted = self.subject.truth([rows[row]], length)[0]
            cut = got[row, :length] if self.subject.sequence else got[row]
            self._same(f"row {row} of length {length}", cut, wanted)
            self._same(f"row {row} of length {length}, of a list", listed[row], wanted)

    def out(self) -> None:
        rows, steps, x = self._rows()
        wanted = self.subject.truth(rows, steps)
        target = np.full_like(wanted, np.nan)
        how = self.bytes.whole(6)
        given: Any = (target, target[::-1], target[:1], target.astype("f8"), x, {"output": target})[how]
        kept = x.copy()
        try:
            got = self.model.predict(x, out=given)
        except LstmEngineError:
            self._same("the input beside a refused out", x, kept)
            raise
        self._same("predict into out", got, wanted)
        if how in (0, 5):
            self._same("out", target, wanted)

    def spoilt(self) -> None:
        """An argument that is none: an error of ours, or an answer; the model's next answers are what they were."""
        _, _, x = self._rows()
        odd = self.bytes.one(ODD_VALUES)()
        given = self.bytes.one(("x", "lengths", "batch_size", "out", "threads", "initial_state", "nan"))
        if given == "x":
            self.model.predict(odd)
        else:
            self.model.predict(x, **{given: odd})

    def states(self) -> None:
        """A sequence in two parts, the state handed on."""
        rows, steps, x = self._rows()
        cut = self.bytes.whole(steps + 1)
        self.model.stream().close()                        # refuses what is not step by step
        first, state = self.model.predict(x[:, :cut], return_state=True)
        second = self.model.predict(x[:, cut:], initial_state=state)
        if self.subject.sequence:
            self._same("two parts", np.concatenate([first, second], 1), self.subject.truth(rows, steps))
        elif cut < steps:
            self._same("the second part", second, self.subject.truth(rows, steps))

    def stream(self) -> None:
        """Steps and pieces, with spoilt calls, resets and a copy of the state between them."""
        rows, steps, x = self._rows()
        stream = self.model.stream(len(rows) or 1)
        if not rows:
            return
        at, forked = 0, None
        while at < steps:
            kind = self.bytes.whole(6)
            if kind == 4:
                stream.reset()
                at, forked = 0, None
            elif kind == 1:
                forked = at, stream.state
            elif kind == 2 and forked is not None:
                at, stream.state = forked
            elif kind == 3:
                try:
                    stream.step(self.bytes.one(ODD_VALUES)())
                    return                                 # it was a step after all: where the stream is, nobody knows
                except LstmEngineError:
                    pass
            size = 1 + self.bytes.whole(2)
            piece = x[:, at:at + size]
            got = stream.step(piece[:, 0]) if size == 1 else stream.run(piece)
            at += piece.shape[1]
            last = got if size == 1 else got[:, -1]
            wanted = self.subject.truth(rows, at)
            self._same(f"a stream after {at} steps", last, wanted[:, -1].copy() if self.subject.sequence else wanted)

    def copied(self) -> None:
        self.model = pickle.loads(pickle.dumps(self.model))


def execute(data: bytes) -> str:
    return Calls(data).run()


def mutate(data: bytes, rng: random.Random) -> bytes:
    return raw.damaged(data, rng) + (rng.randbytes(8) if rng.random() < 0.2 else b"")


def targets() -> dict[str, Target]:
    assert max(VOCABULARY, ROWS) < 256
    return {"api": Target("api", "sequences of calls, right and wrong, with bits compared", execute, mutate,
                          largest=200)}
