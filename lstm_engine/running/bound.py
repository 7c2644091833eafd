"""Bound runs: what the runs of one plan have in common that bring the same shapes on as many threads.

A plan knows nothing of its calls. What they teach (shapes that keep to the limits, runs recorded to be made again)
stands here, found by the shapes given, and serves `predict`, streams and whoever else runs the same plan.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from ..graph import Graph
from ..operators.kernels import MISFITS
from ..plan import HostStep, LoopStep, Plan
from ..plan.streaming import Streaming, streaming
from .account import Account, Look
from .outputs import Outputs
from .record import OtherBranch, Recording, Unrepeatable, record
from .states import StateLayout

_Values = Mapping[str, np.ndarray]
_Key = tuple[Any, ...]


class BoundRun:
    """A plan bound to the shapes of its inputs and to threads: what was found out about such runs.

    within: whether they keep to the limits. left: recordings that may still be made of them, None before the first run.
    idle: recordings that no call is using. missed: how many more of them took another branch than the call they were
    tried for than took the same. work: nanoseconds that one of them took, by the estimate.
    """

    __slots__ = ("idle", "key", "left", "missed", "within", "work")

    def __init__(self, key: _Key) -> None:
        self.key = key
        self.within = False
        self.work = 0
        self.left: int | None = None
        self.missed = 0
        self.idle: list[Recording] = []


class Runner:
    """A plan, and its bound runs. `predict` and the streams of a model share one.

    Without a lock, which a fork could find held: a recording is idle, or in the hands of the one call that popped it.
    What two threads do at once costs a recording, or a look at the limits, at most.
    """

    MOST_BYTES = 4 << 20        # of a recording: with larger values calling is not what takes the time
    MOST_RECORDINGS = 8
    MOST_BOUND = 64
    MOST_TRIED = 2              # recordings in a call: an If has two ways
    MOST_MISSED = 16            # then its runs go step by step: what is begun in vain costs more than it saves

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._inputs = [value.name for value in plan.inputs]
        # Else there is little to save, or nothing to be had.
        self._repeats = any(isinstance(step, HostStep) for step in plan.steps) \
            and not any(isinstance(step, LoopStep) for step in plan.steps)
        self._bodies: dict[int, Runner] = {}            # of loops, by the id of their node
        self._bound: OrderedDict[_Key, BoundRun] = OrderedDict()                    # those recorded last stand last
        self._recordings: dict[int, Recording] = {}                                 # that exist, by id
        self._looks: dict[int, Look] = {}
        self._streaming: tuple[Runner, Streaming] | bool | None = False            # False: not asked yet

    @cached_property
    def states(self) -> StateLayout:
        """Where the states of the layers stand."""
        return StateLayout(self.plan)

    @cached_property
    def outputs(self) -> Outputs:
        """How the plan's outputs are handed out."""
        return Outputs(self.plan)

    def streaming(self, threads: int) -> tuple[Runner, Streaming] | None:
        """What a stream runs in place of the plan, where windows slide along time; None where none do. Made for the
        first stream, with packed weights of its own, and kept for those that follow.

        Raises UnsupportedError, with the reason, where they cannot run step by step.
        """
        if self._streaming is False:
            found = streaming(self.plan, threads)
            self._streaming = None if found is None else (self._beside(found[0].plan, found[1]), found[0])
        return self._streaming      # type: ignore[return-value]

    def plans(self) -> list[Plan]:
        """All that weights are packed for."""
        found = [self.plan, *([self._streaming[0].plan] if isinstance(self._streaming, tuple) else [])]
        for plan in found:                      # and for the loops in them, which are put behind
            found += [step.body for step in plan.steps if isinstance(step, LoopStep)]
        return found

    @staticmethod
    def _beside(plan: Plan, graph: Graph) -> Runner:
        """A runner of another plan, that of a graph, which is run as this one."""
        return Runner(plan)

    def of_body(self, step: LoopStep) -> Runner:
        """What runs the turns of a loop."""
        found = self._bodies.get(id(step.node))
        if found is None:
            found = self._bodies[id(step.node)] = self._inside(step)
        return found

    def _inside(self, step: LoopStep) -> Runner:
        return Runner(step.body)

    def find(self, values: _Values, threads: int) -> BoundRun:
        """The bound run of inputs of these shapes and dtypes."""
        key: _Key = (threads,)
        for name in self._inputs:
            array = values[name]
            key += array.shape, array.dtype.num
        bound = self._bound.get(key)
        if bound is None:
            bound = self._bound[key] = BoundRun(key)
            if len(self._bound) > self.MOST_BOUND:
                self._forget_oldest()
        return bound

    def check_steps(self, arrays: _Values) -> None:
        """Raise LimitError for a sequence of more steps than a call may have."""
        plan = self.plan
        if plan.bounds.most_steps is not None:
            for name, array in arrays.items():
                axis = plan.axes.time_axis(name)
                if axis is not None:
                    plan.bounds.check_steps(name, array.shape[axis])

    # ---- limits -----------------------------------------------------------------------------------------------

    def account(self, bound: BoundRun, values: _Values, keeps: bool = False) -> Account | None:
        """What a run on these inputs has to keep to; None where such runs did. keeps: it lets no value go."""
        if bound.within and not self.plan.bounds.sized:
            return None
        return Account(self.plan, self._looks, values, keeps)

    # ---- recordings -------------------------------------------------------------------------------------------

    def recorded(self, bound: BoundRun, values: _Values, threads: int) -> dict[str, np.ndarray] | None:
        """The plan's outputs by a recorded run; None where it has to go step by step, as the first of its kind does.
        Call under `np.errstate(all="ignore")`."""
        if not self._repeats:
            return None
        for name in self._inputs:
            if not values[name].flags.c_contiguous:         # sums go by the layout, and the recorded one is contiguous
                return None
        others: list[Recording] = []        # of runs that took another branch
        try:
            while len(others) < self.MOST_TRIED:
                # That used last; then the one that has waited longest.
                recording = self._idle(bound, 0 if others else -1) or self._record(bound, values, threads)
                if recording is None:
                    return None
                try:
                    results = recording(values)
                except OtherBranch:
                    others.append(recording)
                    bound.missed += 1
                    continue
                if bound.missed:
                    bound.missed -= 1
                self._keep(bound, recording)
                return results
            return None
        except Unrepeatable:
            self._give_up(bound)
            return None
        except (*MISFITS, MemoryError):
            return None                     # what is wrong with these values, running step by step tells
        finally:
            for recording in others:
                self._keep(bound, recording, last=False)
            if bound.missed > self.MOST_MISSED:
                self._give_up(bound)

    def lent(self, bound: BoundRun) -> Recording | None:
        """A recording of such runs, for somebody who makes many of them, until it is given back; None if there is none.
        """
        return self._idle(bound, -1)

    def given_back(self, bound: BoundRun, recording: Recording) -> None:
        self._keep(bound, recording)

    def _idle(self, bound: BoundRun, at: int) -> Recording | None:
        """A recording that no call is using, for this one alone."""
        try:
            recording = bound.idle.pop(at)
        except IndexError:
            return None
        self._recordings.pop(id(recording), None)
        return recording

    def _record(self, bound: BoundRun, values: _Values, threads: int) -> Recording | None:
        if not bound.left:
            if bound.left is None:
                bound.left = self.MOST_RECORDINGS
            return None
        bound.left -= 1
        arrays = {name: values[name] for name in self._inputs}
        try:
            return record(self.plan.steps, self.plan.guards, self.plan.outputs, arrays, threads, self.MOST_BYTES,
                          self.account(bound, arrays, keeps=True))
        except Unrepeatable:
            self._give_up(bound)
        except (*MISFITS, MemoryError):
            pass
        return None

    def _give_up(self, bound: BoundRun) -> None:
        bound.left = 0
        self._drop(bound, len(bound.idle))

    def _keep(self, bound: BoundRun, recording: Recording, last: bool = True) -> None:
        bound.idle.insert(len(bound.idle) if last else 0, recording)
        self._recordings[id(recording)] = recording
        if not self._is_found(bound):       # forgotten meanwhile: nobody would ever take it from there
            self._drop(bound, len(bound.idle))
            return
        if len(self._recordings) > self.MOST_RECORDINGS:
            for oldest in tuple(self._bound.values()):
                surplus = len(self._recordings) - self.MOST_RECORDINGS
                if surplus > 0 and oldest.idle:
                    self._drop(oldest, surplus)
                    if not oldest.idle:     # more shapes than recordings: it would have to be made again and again
                        oldest.left = 0

    def _is_found(self, bound: BoundRun) -> bool:
        """Whether inputs of its shapes still find it, and not another one; then it is the one used last."""
        try:
            self._bound.move_to_end(bound.key)
        except KeyError:
            return False
        return self._bound.get(bound.key) is bound

    def _drop(self, bound: BoundRun, count: int) -> None:
        """Let go of so many of its idle recordings, the oldest first."""
        for _ in range(count):
            try:
                self._recordings.pop(id(bound.idle.pop(0)), None)
            except IndexError:              # another thread has taken it
                return

    def _forget_oldest(self) -> None:
        try:
            _, oldest = self._bound.popitem(last=False)
        except KeyError:
            return
        self._drop(oldest, len(oldest.idle))

    def recordings(self) -> int:
        """Recordings kept for runs to come."""
        return len(self._recordings)

    def recorded_bytes(self) -> int:
        """Of the recordings kept for runs to come."""
        return sum(recording.bytes for recording in tuple(self._recordings.values()))
