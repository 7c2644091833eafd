"""`predict` with every check and every option: the way of a call that the core does not take as it comes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..arguments import whole_number
from ..entry import entry
from ..errors import UnsupportedError
from .bound import Runner
from .execute import execute
from .inputs import Checked, InputCheck, find_missing
from .outputs import put

_Rows = dict[int, np.ndarray]           # state rows by segment, see StateLayout
_Masks = Mapping[object, np.ndarray]


class Predictor:
    """Calls of `predict` on one plan: each checked, run whole or in parts of the batch, and answered."""

    def __init__(self, runner: Runner) -> None:
        self._runner, self._plan, self._outputs = runner, runner.plan, runner.outputs
        self._check = InputCheck(self._plan.inputs, self._plan.axes, self._plan.bounds)

    @entry
    def __call__(self, x: Any, lengths: Any, batch_size: int | None, progress: bool, out: Any, threads: int,
                 initial_state: Any, return_state: bool, nan: Any) -> Any:
        """The answer of `Model.predict`, which describes the arguments; threads: how many."""
        runner = self._runner
        checked = self._check(x, lengths)
        runner.check_steps(checked.arrays)
        masks = find_missing(self._plan.inputs, self._plan.axes, checked, nan)
        state_in = runner.states.pack(initial_state, checked.batch) if initial_state is not None else {}
        state_out = runner.states.empty(checked.batch) if return_state else {}
        targets = self._outputs.targets(out, checked)
        if batch_size is None and not progress:
            results = execute(runner, dict(checked.arrays), checked.batch, lengths=checked.lengths,
                              state_in=state_in, state_out=state_out, threads=threads, out=targets, masks=masks)
        else:
            results = self._in_parts(checked, masks, batch_size, progress, state_in, state_out, threads, targets)
        answer = self._answer(checked, results, targets)
        return (answer, runner.states.unpack(state_out)) if return_state else answer

    def _in_parts(self, checked: Checked, masks: _Masks, batch_size: int | None, progress: bool, state_in: _Rows,
                  state_out: _Rows, threads: int, targets: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        size = checked.batch if batch_size is None else min(whole_number(batch_size, "batch_size", most=None),
                                                            max(checked.batch, 1))
        divisible = not self._plan.mixes_rows
        step = min(size, -(-checked.batch // 20)) if progress and divisible else size
        parts = range(0, checked.batch, max(1, step))
        if len(parts) > 1 and not divisible:
            raise UnsupportedError(f"batch_size: this model {self._plan.mixes_rows}, so its rows cannot run in parts; "
                                   "leave batch_size out")
        # A value without rows is whole in every part, and the same after each.
        row_axes: Mapping[str, Any] = self._plan.rows_apart if divisible else \
            dict.fromkeys((*checked.arrays, *self._plan.outputs))
        collected: dict[str, list[np.ndarray]] = {name: [] for name in self._plan.outputs}
        starts = parts or range(1)                               # no rows run as one part
        for start in _progress(starts, checked.batch) if progress else starts:
            rows = slice(start, start + parts.step)
            arrays = {name: _rows(array, row_axes[name], rows) for name, array in checked.arrays.items()}
            out = {name: array[rows] for name, array in targets.items() if row_axes[name] == 0}
            results = execute(self._runner, arrays, len(range(checked.batch)[rows]),
                              lengths={symbol: own[rows] for symbol, own in checked.lengths.items()},
                              masks={symbol: own[rows] for symbol, own in masks.items()},
                              state_in={number: state[rows] for number, state in state_in.items()},
                              state_out={number: state[rows] for number, state in state_out.items()}, threads=threads,
                              out=out)
            for name, array in results.items():
                if name in out and array is not out[name]:           # made by a host operator
                    put(name, array, out[name])
                collected[name].append(array)
            if start == 0 and len(parts) > 1:
                # The parts of an output stand beside the whole for a moment.
                made = sum(array.nbytes for name, array in results.items()
                           if name not in out and row_axes[name] is not None)
                self._plan.bounds.check_memory(f"batch_size={step}: {len(parts)} parts of the outputs and the whole",
                                               2 * len(parts) * made, _nbytes(checked.arrays))
        return {name: targets[name] if name in targets and row_axes[name] == 0 else
                arrays[0] if len(arrays) == 1 or row_axes[name] is None else np.concatenate(arrays, axis=row_axes[name])
                for name, arrays in collected.items()}

    def _answer(self, checked: Checked, results: dict[str, np.ndarray], targets: dict[str, np.ndarray]) -> Any:
        for name, array in targets.items():
            if results[name] is not array:          # an output of a host operator, or of an input passed through
                put(name, results[name], array)
                results[name] = array
        self._outputs.owned(results, checked.arrays.values(), keep=targets)
        answers = results if not checked.lengths else {
            name: self._outputs.unpadded(name, array, checked) for name, array in results.items()}
        return answers[self._plan.outputs[0]] if len(self._plan.outputs) == 1 else answers


def _nbytes(arrays: Mapping[str, np.ndarray]) -> int:
    return sum(array.nbytes for array in arrays.values())


def _rows(array: np.ndarray, axis: int | None, rows: slice) -> np.ndarray:
    """Some rows of an array that has them along `axis`; the whole array where it has none."""
    return array if axis is None else array[(slice(None),) * axis + (rows,)]


def _progress(parts: range, total: int) -> Iterable[int]:
    """The parts, with a bar on stderr."""
    done = 0
    for start in parts:
        yield start
        done = min(total, start + parts.step)
        filled = 30 * done // max(total, 1)
        sys.stderr.write(f"\r[{'#' * filled}{'.' * (30 - filled)}] {done}/{total}")
        sys.stderr.flush()
    sys.stderr.write("\n")
