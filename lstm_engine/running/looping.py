"""Running a loop: turn after turn, each on the states that the one before it left."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, LimitError, LstmEngineError
from ..graph import Loop, Value
from ..graph.shapes import show_shape
from ..operators.guards import is_true
from ..operators.kernels import MISFITS, MOST_KEPT
from ..operators.looping import of_no_turns
from ..plan import LoopStep
from ..plan.steps import inputs_of
from .account import Account
from .bound import BoundRun, Runner
from .record import OtherBranch, Recording, Unrepeatable

Values = dict[str, np.ndarray]
Shapes = tuple[tuple[int, ...], ...]
TRUE = np.array(True)


class Turns:
    """The turns of one run of a loop. As soon as the runner has a recording of them they are its calls alone: what a
    turn leaves goes to where the next one reads it."""

    def __init__(self, runner: Runner, run: Callable[[Values], Values], threads: int, moving: int) -> None:
        """run: a turn by itself, on values that it may let go. moving: how many inputs change from turn to turn."""
        self._runner, self._run, self._threads, self._moving = runner, run, threads, moving
        self._names = [value.name for value in runner.plan.inputs]
        self._bound: BoundRun | None = None
        self._recording: Recording | None = None
        self._shapes: Shapes = ()
        self._places: list[np.ndarray] = []         # where the recording reads
        self._shared: set[str] = set()              # what it makes there, too

    def __call__(self, into: list[np.ndarray], shapes: Shapes) -> Values:
        """What a turn makes, by name, to be read before the next one. Raises what running it raises."""
        if self._recording is not None and shapes == self._shapes:
            for place, array in zip(self._places[:self._moving], into):
                np.copyto(place, array)
            try:
                return self._again(self._recording)
            except (OtherBranch, Unrepeatable, *MISFITS, MemoryError):
                into = [place.copy() for place in self._places]     # it may have written over what was given
        # What is given stands in no recording: what one leaves has the sizes that it takes, so it is used to the end.
        self.end()
        given = dict(zip(self._names, into))
        bound = self._bound = self._runner.find(given, self._threads)
        kept = dict(given)
        made = self._run(given)
        recording = self._recording = self._runner.lent(bound)
        if recording is not None:
            self._shapes = shapes
            self._places = [recording.inputs[name] for name in self._names]
            self._shared = {name for name, array in recording.outputs.items()
                            if any(np.may_share_memory(array, place) for place in self._places)}
            for name, place in zip(self._names, self._places):
                np.copyto(place, kept[name])
        return made

    def _again(self, recording: Recording) -> Values:
        for function, arguments in recording.calls:
            function(*arguments)
        if not self._shared:
            return recording.outputs
        return {name: array.copy() if name in self._shared else array for name, array in recording.outputs.items()}

    @property
    def work(self) -> int:
        """Nanoseconds of a turn as the last one."""
        return 0 if self._bound is None else self._bound.work

    def end(self) -> None:
        """Give the recording back."""
        if self._recording is not None and self._bound is not None:
            self._runner.given_back(self._bound, self._recording)
        self._recording = None


def run_loop(step: LoopStep, values: Values, turns: Turns, account: Account | None) -> None:
    """Put the outputs of a loop among the values.

    account: what the call has to keep to. Raises ArgumentError where what comes, or what a turn leaves, does not fit
    the body, and what running that raises, the loop's name before it.
    """
    node, body = step.node, step.node.body
    most, condition, *given = inputs_of(node, values)
    # As a recorded run has them: sums go by the layout.
    begins: list[np.ndarray] = [contiguous(array) for array in given[:node.states]]             # type: ignore[arg-type]
    sequences: list[np.ndarray] = given[node.states:node.around - 2]                            # type: ignore[assignment]
    around: list[np.ndarray] = [contiguous(array) for array in given[node.around - 2:]]         # type: ignore[arg-type]
    count = _most_turns(node, most, condition, sequences)
    results: list[list[np.ndarray]] = [[] for _ in node.result_axes]
    # How many there will be is known where every turn says that another follows.
    known = count if count is not None and body.outputs[0] == body.inputs[1].name else 0
    if account is not None:
        account.turns_to_come(step, known, 0, 0)
    fits, held, states = _Fits(node), 0, begins
    try:
        for number in itertools.count() if count is None else range(count):
            steps = [contiguous(array[_place(axis, array.shape[axis] - 1 - number if backwards else number)])
                     for array, axis, backwards in zip(sequences, node.sequence_axes, node.backwards)]
            into = [np.array(number), TRUE, *states, *steps, *around]
            shapes = tuple([array.shape for array in into])
            fits.check(body.inputs, into, shapes, number)
            try:
                made = turns(into, shapes)
            except LimitError:
                raise
            except LstmEngineError as error:
                raise type(error)(f"turn {number} of node {node.name!r} (Loop): {error}") from error
            goes_on, *left = [made[name] for name in body.outputs]
            states = [contiguous(array) for array in left[:node.states]]
            for result, array in zip(results, left[node.states:]):
                result.append(array.copy())
                held += array.nbytes
            if account is not None:
                if not number:
                    account.turns_to_come(step, known, turns.work, 2 * held * known)
                account.turn(step, turns.work, 2 * held + sum([array.nbytes for array in states]))
            if not is_true(goes_on, node.name):
                break
        fits.check(body.inputs[2:2 + node.states], states, tuple([array.shape for array in states]), -1)
        # Nobody else has what is handed out: a state may be what the caller gave.
        values.update((name, array.copy()) for name, array in zip(node.outputs, states) if name)
    finally:
        turns.end()
    for place, (name, arrays) in enumerate(zip(node.outputs[node.states:], results)):
        if name:
            values[name] = _joined(step, place, arrays, given)


def contiguous(array: np.ndarray) -> np.ndarray:
    """An array in the order of its elements, as it is where it is so."""
    return array if array.flags.c_contiguous else array.copy()


def _most_turns(node: Loop, most: np.ndarray | None, condition: np.ndarray | None, sequences: Sequence[np.ndarray]
                ) -> int | None:
    """How many turns there are at most; None for any number."""
    counts = {array.shape[axis] for array, axis in zip(sequences, node.sequence_axes)}
    if len(counts) > 1:
        raise ArgumentError(f"node {node.name!r} (Loop): its sequences have {' and '.join(map(str, sorted(counts)))} "
                            "steps; they must have as many")
    if most is not None:
        if most.size != 1:
            raise ArgumentError(f"node {node.name!r} (Loop): its number of turns must be one whole number, got shape "
                                f"{list(most.shape)}")
        counts.add(int(most.item()))
    if condition is not None and not is_true(condition, f"{node.name}: whether there is a turn"):
        return 0
    return min(counts, default=None)


def _place(axis: int, number: int) -> tuple[slice | int, ...]:
    return (*(slice(None),) * axis, number)


def _joined(step: LoopStep, place: int, arrays: list[np.ndarray], given: Sequence[Any]) -> np.ndarray:
    """One result of all turns. given: what the loop began with, whose sizes are those of a result of no turns."""
    node = step.node
    axis = node.result_axes[place]
    if arrays:
        if len({array.shape for array in arrays}) > 1:
            raise ArgumentError(f"node {node.name!r} (Loop): the turns make {node.outputs[node.states + place]!r} of "
                                f"other sizes each: {list(arrays[0].shape)}, "
                                f"{next(list(array.shape) for array in arrays if array.shape != arrays[0].shape)}")
        return np.stack(arrays[::-1] if node.turned[place] else arrays, axis)
    return of_no_turns(node, place, step.body.values, [array.shape for array in given])


class _Fits:
    """Whether what a turn is given has the sizes that its body was checked with."""

    def __init__(self, node: Loop) -> None:
        self._node, self._seen = node, set[Shapes]()

    def check(self, wanted: Sequence[Value], arrays: Sequence[np.ndarray], shapes: Shapes, turn: int) -> None:
        """turn: -1 for what the last one left. Raises ArgumentError."""
        if shapes in self._seen:
            return
        sizes: dict[str, int] = {}
        for value, array in zip(wanted, arrays):
            agree = len(value.shape) == array.ndim and all(
                size == (sizes.setdefault(dim, size) if isinstance(dim, str) else dim)
                for dim, size in zip(value.shape, array.shape))
            if not agree or array.dtype != value.dtype:
                expected = [sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in value.shape]
                when = f"turn {turn} of node" if turn >= 0 else "after the last turn, node"
                raise ArgumentError(f"{when} {self._node.name!r} (Loop): {value.name!r} must be {value.dtype} "
                                    f"{show_shape(tuple(expected))}, got {array.dtype} {list(array.shape)}")
        if len(self._seen) == MOST_KEPT:            # a state that grows has another size at each turn
            self._seen.clear()
        self._seen.add(shapes)
