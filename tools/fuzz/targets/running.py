"""Runs a graph in every way there is, on inputs made up for it: one of our errors, or answers that agree to the bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import lstm_engine as le
from lstm_engine import format
from lstm_engine.errors import LstmEngineError, OutOfMemoryError, UnsupportedError
from lstm_engine.graph import Graph, Value

from ..rule import Broken, reason
from ..target import Folder

MOST = 1 << 18                     # elements of an input
SIZES = ((2, 3, 4), (1, 1, 2), (3, 2, 2), (0, 2, 1), (2, 0, 3))      # what symbols are, in the order they are met
WHOLE = (0, 1, 2, 3, -1, 1, 2, 5, 0, -2, 64, 2**20, 2**31, 2**62, -2**63)
_folder = Folder()

Call = Callable[[le.Model, dict], Any]
# Within these a run is short and small, whatever the graph: some thirty calls are made of it. The estimate of work is
# good to a factor of a few.
LIMITS = le.Limits.untrusted(memory=64 << 20, work=1 << 26)

# Ways whose answer must be that of a plain call, to the bit; and those that must only keep the rule.
SAME: dict[str, Call] = {
    "again": lambda model, given: model.predict(given),
    "replayed": lambda model, given: model.predict(given),
    "two threads": lambda model, given: model.predict(given, threads=2),
    "states asked for": lambda model, given: model.predict(given, return_state=True)[0],
}
ALSO: dict[str, Call] = {
    "batch_size": lambda model, given: model.predict(given, batch_size=1),
    "lengths": lambda model, given: model.predict(given, [1, 0, 2][:_rows(given)]),
    "list": lambda model, given: model.predict([*np.atleast_1d(next(iter(given.values()), []))]),
    "masked": lambda model, given: model.predict(given, nan="mask"),
    "out": lambda model, given: model.predict(given, out=np.zeros((2, 3, 4), np.float32)),
    "stream": lambda model, given: model.stream(_rows(given)).run(given),
    "step": lambda model, given: model.stream(_rows(given)).step(
        {name: x[:, 0] if x.ndim > 1 and x.shape[1] else x for name, x in given.items()}),
    "paired": lambda model, given: _paired(model, given),
}


def run(graph: Graph) -> str:
    """What became of a graph that was read: which ways ran."""
    model = le.Model(graph, limits=LIMITS)
    ran = _ways(model, graph)
    _saved(graph, model)
    return "ran: " + " ".join(ran)


def _ways(model: le.Model, graph: Graph) -> list[str]:
    ran: dict[str, None] = {}
    for number, sizes in enumerate(SIZES):
        given = made_up(graph.inputs, sizes, number)
        if given is None:
            ran["an input too large to make"] = None
            continue
        kept = {name: x.copy() for name, x in given.items()}
        first = attempt(lambda given=given: model.predict(given))
        before = _copied(first)
        for way, call in (SAME | ALSO).items():
            answer = attempt(lambda call=call, given=given: call(model, given))
            if way in SAME:
                _agree(way, before, answer)
            if not isinstance(answer, LstmEngineError):
                ran[way] = None
        for name, x in given.items():
            if x.tobytes() != kept[name].tobytes():
                raise Broken("written", f"input {name!r} was written to")
    return list(ran)


def attempt(call: Callable[[], Any]) -> Any:
    """What a call gives, or the error of ours that it raises."""
    try:
        return call()
    except LstmEngineError as error:
        return error


def same(left: Any, right: Any) -> bool:
    """Whether two answers are equal in type, shape and every bit; NaN is NaN."""
    if isinstance(left, dict):
        return isinstance(right, dict) and left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, (list, tuple)):
        return type(right) is type(left) and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, np.ndarray):
        return isinstance(right, np.ndarray) and (left.dtype, left.shape) == (right.dtype, right.shape) \
            and left.tobytes() == right.tobytes()
    return left is right or left == right


def _agree(way: str, first: Any, answer: Any) -> None:
    if isinstance(first, OutOfMemoryError) or isinstance(answer, OutOfMemoryError):
        return                                             # what memory there is differs from call to call
    refused = isinstance(first, LstmEngineError), isinstance(answer, LstmEngineError)
    if refused == (True, True) or refused == (False, False) and same(first, answer):
        return
    if way == "states asked for" and isinstance(answer, UnsupportedError):
        return                                             # states that are not those of the batch's rows
    shown = [reason(each) if isinstance(each, LstmEngineError) else "an answer" for each in (first, answer)]
    raise Broken("differs", f"plainly {shown[0]}, {way}: {shown[1]}")


def _saved(graph: Graph, model: le.Model) -> None:
    """A model that is saved and loaded gives the same answers; a graph that is too large for a file need not."""
    path = _folder.path / "saved.lstm"
    try:
        format.save(graph, path)
    except LstmEngineError:
        return
    loaded = le.load(path, limits=LIMITS)
    path.unlink()
    given = made_up(graph.inputs, SIZES[0], 0)
    if given is not None:
        _agree("saved and loaded", attempt(lambda: model.predict(given)), attempt(lambda: loaded.predict(given)))


def made_up(inputs: tuple[Value, ...], sizes: tuple[int, ...], number: int) -> dict[str, np.ndarray] | None:
    """Arrays for the inputs; None where one would be too large. number: of the call, for other numbers in each."""
    symbols: dict[Any, int] = {}
    made = {}
    for position, value in enumerate(inputs):
        shape = [dim if isinstance(dim, int) else symbols.setdefault(dim, sizes[len(symbols) % len(sizes)])
                 for dim in value.shape]
        if math.prod(size or 1 for size in shape) > MOST:
            return None
        count = math.prod(shape)
        if value.dtype.startswith("float"):
            numbers = np.linspace(-1, 1, count or 1)[:count]
        else:
            # Ids and small targets in every second call, what no size should be in the others.
            pool = WHOLE if number % 2 else WHOLE[:4]
            numbers = np.array([pool[(index + position + number) % len(pool)] for index in range(count)], object)
            if value.dtype == "bool":
                numbers = numbers != 0
            elif value.dtype != "int64":
                numbers = numbers % 128
        made[value.name] = np.asarray(numbers, value.dtype).reshape(shape)
    return made


def _rows(given: dict) -> int:
    return max(1, len(next(iter(given.values()), [])) if given and next(iter(given.values())).ndim else 1)


def _copied(answer: Any) -> Any:
    if isinstance(answer, dict):
        return {name: _copied(array) for name, array in answer.items()}
    return answer.copy() if isinstance(answer, np.ndarray) else answer


def _paired(model: le.Model, given: dict) -> Any:
    """A stream whose last input is fed by the first output."""
    if not given:
        return None
    name = list(given)[-1]
    stream = model.stream(_rows(given), states={name: next(iter(model.outputs))})
    fed = {other: x for other, x in given.items() if other != name}
    return [stream.run(fed), stream.run(fed)]
