"""The model: a checked graph, planned for one instruction set, and the calls that run it."""

from __future__ import annotations

import itertools
import os
import sys
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from . import runtime
from .arguments import choice, flag, path_text, shown, whole_number
from .arrays import Owners
from .entry import entry, out_of_memory
from .errors import ArgumentError, ArgumentTypeError, UnsupportedError
from .graph import Graph, Value
from .inputs import Checked, InputCheck, find_missing
from .layers import Layer, chain
from .limits import Limits, checked_limits
from .operators import validate
from .operators.precision import cast, settled
from .plan import HostStep, Plan, Segment, StateLayout, compute_dtype, lower
from .plan.bounds import checked_graph
from .plan.execute import execute
from .plan.weights import held_bytes, restore
from .quick import QuickCalls
from .stream import Stream

GEMMS = ("packed", "blas")
DTYPES = ("float32", "float64")


class Model:
    """A trained network ready to run on the CPU.

    Model([le.Embedding(table), le.LSTM(W, R, B), le.Dense(kernel, bias)]) from arrays; `le.load` and `le.convert` from
    files. gemm: "packed" (our kernels; the same bits for a sequence whatever stands around it) or "blas".
    dtype: what the layers compute in, "float32" or "float64"; None: that of the
    weights; float64 where arrays of both kinds are given. limits: what it and its calls may take (`le.Limits`).
    A model is immutable; any number of threads may call it at the same time. Models pickle.
    """

    @entry
    def __init__(self, layers: Sequence[Layer] | Graph, *, gemm: str = "packed", dtype: str | None = None,
                 limits: Limits | None = None) -> None:
        limits = checked_limits(limits)
        gemm = choice(gemm, "gemm", GEMMS)
        dtype = None if dtype is None else choice(dtype, "dtype", DTYPES)
        if gemm == "blas":
            from . import blas

            blas.provider()
        graph = checked_graph(validate(layers) if isinstance(layers, Graph) else chain(layers), limits)
        if dtype is None and not isinstance(layers, Graph):
            dtype = compute_dtype(graph)             # arrays declare no more than what they are themselves
        graph = settled(graph if dtype is None else cast(graph, dtype))
        self._plan: Plan = lower(graph, isa=runtime.isa(), gemm=gemm, threads=runtime.num_threads(),
                                 limits=limits)
        if runtime.checking_wanted():
            from .checking import guarded

            self._plan = guarded(self._plan, graph)
        self._whole: Callable[[], Graph | None] = lambda: None          # the graph, while someone holds it
        self._states = StateLayout(self._plan)
        self._check = InputCheck(self._plan.inputs, self._plan.axes)
        self._quick = QuickCalls.of(self._plan)
        self._direct = self._quick and self._quick.only
        # A host operator may pass on a caller's input or a constant of the model, as it is or in another shape.
        self._constants = Owners(array for step in self._plan.steps if isinstance(step, HostStep)
                                 for array in step.node.tensors().values())
        made = {port.value for step in self._plan.steps if isinstance(step, Segment) for port in step.outputs}
        self._may_alias = [name for name in self._plan.outputs if name not in made]

    # ---- what it is -------------------------------------------------------------------------------------------

    @property
    def graph(self) -> Graph:
        """The graph, with its weights as plain read-only arrays in ONNX's gate order.

        The model holds its matrices packed alone: they are unpacked for each graph asked for, to the bit.
        """
        graph = self._whole()
        if graph is None:
            graph = restore(self._plan.light)
            self._whole = weakref.ref(graph)
        return graph

    @property
    def inputs(self) -> dict[str, Value]:
        """The inputs by name: symbolic shape and dtype."""
        return {value.name: value for value in self._plan.inputs}

    @property
    def outputs(self) -> dict[str, Value]:
        """The outputs by name: symbolic shape and dtype."""
        return {name: self._plan.values[name] for name in self._plan.outputs}

    @property
    def dtype(self) -> str:
        """What the layers compute in, "float32" or "float64"; `inputs` and `outputs` say what goes in and comes out."""
        return self._plan.dtype

    @property
    def isa(self) -> str:
        """The instruction set the weights are packed for."""
        return self._plan.isa

    @property
    def gemm(self) -> str:
        """What computes Dense and the input projections: "packed" or "blas"."""
        return self._plan.gemm

    @property
    def limits(self) -> Limits:
        """What the model and its calls may take."""
        return self._plan.bounds.limits

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What was assumed when the model was made from weights alone (docs/spec.md): sentences, kept in its file."""
        return tuple(self._plan.light.metadata.get("assumptions", "").splitlines())

    def summary(self) -> str:
        """A table of the layers, their output shapes and parameters, and how the model will run."""
        from .summary import summary

        return summary(self)

    def memory(self) -> dict[str, int]:
        """Bytes of packed weights, of idle workspaces, of memory kept for large outputs to come, of the constants of
        host operators, and of weights that stand as arrays beside the packed ones ("raw": biases, peepholes, tables
        that NumPy reads). What several layers share is counted once."""
        cores = [step.core for step in self._plan.steps if step.core is not None]
        idle, kept = (sum(sizes) for sizes in zip((0, 0), *(core.memory() for core in cores)))
        recorded = 0 if self._plan.replays is None else self._plan.replays.bytes()
        host, raw = held_bytes(self._plan.light)
        blocks = {address: size for core in cores for address, size in core.blocks().items()}
        return {"weights": sum(blocks.values()), "workspace": idle + recorded, "outputs": kept, "host_operators": host,
                "raw": raw}

    def __repr__(self) -> str:
        ins = ", ".join(f"{v.name}{list(v.shape)}" for v in self.inputs.values())
        outs = ", ".join(f"{v.name}{list(v.shape)}" for v in self.outputs.values())
        return f"<lstm_engine.Model {ins} -> {outs}>"

    def __reduce__(self):
        return _rebuild, (self.graph, self.gemm, self.limits)

    def save(self, path: str | os.PathLike) -> None:
        """Write the model as a `*.lstm` file (docs/format.md); an existing file is replaced only by a whole one."""
        from . import format

        format.save(self.graph, path_text(path, "save"))

    def stream(self, batch: int = 1, states: Mapping[str, str] | None = None, threads: int | None = None) -> Stream:
        """A stream of `batch` live sequences: the recurrent state is kept between calls.

        states: for a model whose states are explicit inputs and outputs, {input name: output name}.
        Raises UnsupportedError, with the reason, for a model that cannot run step by step.
        """
        return Stream(self, batch, states, threads)

    # ---- running ----------------------------------------------------------------------------------------------

    def predict(self, x: Any, lengths: Any = None, *, batch_size: int | None = None, progress: bool = False,
                out: np.ndarray | Mapping[str, np.ndarray] | None = None, threads: int | None = None,
                initial_state: Mapping[str, Mapping[str, np.ndarray]] | None = None, return_state: bool = False,
                nan: str = "propagate") -> Any:
        """Run the model on a batch.

        x: [batch, time] token ids, [batch, time, features] numbers (or the layout that `inputs` shows), a list of
            sequences of any lengths, or a dict of these by input name. Numbers are cast to the dtype
            that `inputs` shows.
        lengths: [batch], the real steps of each row of a padded array; the rest costs nothing and comes out as 0.
            A list and lengths leave padding out. A model without a mask that was trained on padded sequences has learnt
            from the padding: give it an array padded the same way (`le.pad_sequences`) and no lengths, or its answers
            change. `lstm-engine inspect` says whether a mask is in the model.
        batch_size: rows to run at a time (default: all); refused where a node mixes rows. progress: show a bar on
            stderr.
        out: where to write the output, of its exact shape and dtype (a dict by name where there are several).
        threads: at most this many.
        initial_state: {layer: {"h": [batch, dirs, hidden], "c": ...}}; zeros where left out.
        return_state: also return the final states, in the same form.
        nan: what a NaN in a floating-point sequence means: "propagate" it, raise an "error", or "mask" its step: a
            missing value, which leaves the states alone and repeats the output before it (0 before the first).
        Returns the output, or a dict of outputs by name where there are several; a list of arrays for a sequence output
        when the input was a list. With return_state, a pair (output, states).
        Raises ArgumentError (a ValueError) and ArgumentTypeError (a TypeError) naming the argument.
        """
        plain = (batch_size is None and progress is False and initial_state is None and return_state is False
                 and type(nan) is str and nan == "propagate")
        try:
            if plain and threads is None and lengths is None and self._direct is not None and runtime.threads_known:
                y = self._direct(x, 0, out)
                if y is not None:
                    return y
            count = runtime.num_threads(threads)
            if plain and self._quick is not None:
                y = self._quick.predict(x, lengths, out, count)
                if y is not None:
                    return y
        except MemoryError as error:
            out_of_memory(error)
        return self._predict(x, lengths, batch_size, flag(progress, "progress"), out, count, initial_state,
                             flag(return_state, "return_state"), nan)

    __call__ = predict

    @entry
    def _predict(self, x: Any, lengths: Any, batch_size: int | None, progress: bool, out: Any, count: int,
                 initial_state: Any, return_state: bool, nan: Any) -> Any:
        """`predict` with every check and every option; count: threads."""
        checked = self._check(x, lengths)
        self._check_steps(checked.arrays)
        masks = find_missing(self._plan.inputs, self._plan.axes, checked, nan)
        state_in = self._states.pack(initial_state, checked.batch) if initial_state is not None else {}
        state_out = self._states.empty(checked.batch) if return_state else {}
        targets = self._targets(out, checked)
        if batch_size is None and not progress:
            results = execute(self._plan, dict(checked.arrays), checked.batch, lengths=checked.lengths,
                              state_in=state_in, state_out=state_out, threads=count, out=targets, masks=masks)
        else:
            results = self._in_parts(checked, masks, batch_size, progress, state_in, state_out, count, targets)
        return self._answer(checked, results, state_out if return_state else None, targets)

    def _check_steps(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Raise LimitError for a sequence of more steps than a call may have."""
        if self.limits.steps is not None:
            for name, array in arrays.items():
                axis = self._plan.axes.time_axis(name)
                if axis is not None:
                    self._plan.bounds.check_steps(name, array.shape[axis])

    def _targets(self, out: Any, checked: Checked) -> dict[str, np.ndarray]:
        """The arrays given as `out`, by output name, checked."""
        if out is None:
            return {}
        names = self._plan.outputs
        if not isinstance(out, Mapping):
            if len(names) != 1:
                raise ArgumentTypeError(f"out: the model has {len(names)} outputs; give a dict by name "
                                        f"({', '.join(names)})")
            out = {names[0]: out}
        out = dict(out)
        for name, array in out.items():
            if name not in names:
                raise ArgumentError(f"out: {shown(name)} is no output of the model; it has {', '.join(names)}")
            value = self._plan.values[name]
            if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
                raise ArgumentTypeError(f"out {name!r}: expected an array, got {type(array).__name__}")
            shape = tuple(checked.sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in value.shape)
            # A symbol that is left stands for a size that only the run tells; `_answer` and the core look at it then.
            fits = array.ndim == len(shape) and all(isinstance(dim, str) or dim == size
                                                    for dim, size in zip(shape, array.shape, strict=True))
            if not fits or array.dtype != value.dtype:
                raise ArgumentError(f"out {name!r}: expected {value.dtype} of shape {list(shape)}, got {array.dtype} "
                                    f"of shape {list(array.shape)}")
            if not (array.flags.c_contiguous and array.flags.writeable and array.flags.aligned):
                raise ArgumentError(f"out {name!r}: must be writeable and C-contiguous")
            if any(np.may_share_memory(array, given) for given in checked.arrays.values()):
                raise ArgumentError(f"out {name!r}: shares memory with an input")
        for (name, array), (other, second) in itertools.combinations(out.items(), 2):
            if np.may_share_memory(array, second):
                raise ArgumentError(f"out {name!r} and {other!r} share memory")
        return dict(out)

    def _in_parts(self, checked: Checked, masks: dict, batch_size: int | None, progress: bool, state_in: dict,
                  state_out: dict, threads: int, targets: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
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
            results = execute(self._plan, arrays, len(range(checked.batch)[rows]),
                              lengths={symbol: own[rows] for symbol, own in checked.lengths.items()},
                              masks={symbol: own[rows] for symbol, own in masks.items()},
                              state_in={number: state[rows] for number, state in state_in.items()},
                              state_out={number: state[rows] for number, state in state_out.items()}, threads=threads,
                              out=out)
            for name, array in results.items():
                if name in out and array is not out[name]:           # made by a host operator
                    _put(name, array, out[name])
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

    def _answer(self, checked: Checked, results: dict[str, np.ndarray], state: dict | None,
                targets: dict[str, np.ndarray]) -> Any:
        for name, array in targets.items():
            if results[name] is not array:          # an output of a host operator, or of an input passed through
                _put(name, results[name], array)
                results[name] = array
        for name in self._may_alias:
            others = (array for other, array in results.items() if other != name)
            # What Expand makes of one row shows that row many times, and cannot be written to.
            if name not in targets and (not results[name].flags.writeable
                                        or Owners([*checked.arrays.values(), *others]).share(results[name])
                                        or self._constants.share(results[name])):
                results[name] = results[name].copy()
        if checked.lengths:
            for name, array in results.items():
                results[name] = self._unpadded(name, array, checked)
        answer = results[self._plan.outputs[0]] if len(self._plan.outputs) == 1 else results
        return answer if state is None else (answer, self._states.unpack(state))

    def _unpadded(self, name: str, array: np.ndarray, checked: Checked) -> Any:
        """Zeros past the end of each sequence; a list of arrays where the input was a list."""
        rows = self._plan.rows_apart[name]
        if not isinstance(rows, int):
            rows = self._plan.axes.batch_axis(name)
        if rows is None:
            return array
        places = ((self._plan.steps_apart[time][name], own)             # type: ignore[index]
                  for time, own in checked.lengths.items())
        ends = [(place - (place > rows), own) for place, own in places if isinstance(place, int)]
        if not ends:
            return array
        first, items = min(axis for axis, _ in ends), []
        for row, item in enumerate(np.moveaxis(array, rows, 0)):
            inside = [slice(None)] * item.ndim
            for axis, own in ends:
                np.moveaxis(item, axis, 0)[own[row]:] = 0
                inside[axis] = slice(own[row])
            items.append(item[tuple(inside)])
        return [np.moveaxis(item, first, 0).copy() for item in items] if checked.listed else array


def _put(name: str, result: np.ndarray, target: np.ndarray) -> None:
    """Write an output where the caller wants it, whose size may be known only now."""
    if result.shape != target.shape:
        raise ArgumentError(f"out {name!r}: expected shape {list(result.shape)}, got {list(target.shape)}")
    target[...] = result


def _rebuild(graph: Graph, gemm: str, limits: Limits | None = None) -> Model:
    return Model(graph, gemm=gemm, limits=limits)


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
