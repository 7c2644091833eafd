"""The model: a checked graph, planned for one instruction set, and the calls that run it."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

import numpy as np

from . import runtime
from .arguments import choice, flag, path_text
from .entry import entry, out_of_memory
from .graph import Graph, Value
from .graph.nodes import every_node
from .graph.quantization import Quantization, quantization_of
from .limits import Limits, checked_limits
from .operators.check import Checked, checked
from .operators.inference import with_entries
from .operators.precision import cast, settled
from .pages import give_up
from .plan import LoopStep, Plan, compute_dtype, lower
from .plan.bounds import checked_graph
from .plan.weights import arrays_of, held_bytes, restore
from .running.direct import DirectCalls
from .types import (
    Array,
    Arrays,
    Dtype,
    Gemm,
    Input,
    Inputs,
    Lengths,
    Listed,
    NanMode,
    Outputs,
    PredictOptions,
    States,
    SupportsArray,
    WeightDtype,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack  # typing's own from Python 3.11 on

    from .layers import Layer
    from .running.bound import Runner
    from .running.predict import Predictor
    from .running.stream import Stream

GEMMS: tuple[Gemm, ...] = get_args(Gemm)
DTYPES: tuple[Dtype, ...] = get_args(Dtype)


class Model:
    """A trained network ready to run on the CPU.

    Model([le.Embedding(table), le.LSTM(W, R, B), le.Dense(kernel, bias)]) from arrays; `le.load` and `le.convert` from
    files. gemm: "packed" (our kernels; the same bits for a sequence whatever stands around it) or "blas".
    dtype: what the layers compute in, "float32" or "float64"; None: that of the
    weights; float64 where arrays of both kinds are given. limits: what it and its calls may take (`le.Limits`).
    A model is immutable; any number of threads may call it at the same time. Models pickle.
    """

    @entry
    def __init__(self, layers: Sequence[Layer] | Graph | Checked, *, gemm: Gemm = "packed", dtype: Dtype | None = None,
                 limits: Limits | None = None) -> None:
        limits = checked_limits(limits)
        gemm = choice(gemm, "gemm", GEMMS)
        dtype = None if dtype is None else choice(dtype, "dtype", DTYPES)
        if gemm == "blas":
            from . import blas

            blas.provider()
        whole = layers if isinstance(layers, Checked) else checked(_graph_of(layers))
        given = checked_graph(whole.graph, limits)
        if dtype is None and not isinstance(layers, (Graph, Checked)):
            dtype = compute_dtype(given, whole.values)       # arrays declare no more than what they are themselves
        graph = with_entries(settled(given if dtype is None else cast(given, dtype)))
        plan = lower(graph, isa=runtime.isa(), gemm=gemm, threads=runtime.num_threads(), limits=limits,
                     values=whole.values if graph is given else None)
        self._plan: Plan = plan
        if runtime.checking_wanted():
            from .checking import guarded

            self._runner = guarded(plan, graph)
            self._plan = self._runner.plan
        self._direct = DirectCalls.of(self._plan)
        self._only = None if self._direct is None else self._direct.only      # asked for at every call
        self._whole: Callable[[], Graph | None] = lambda: None          # the graph, while someone holds it
        self._report: Quantization | None = None                        # of `quantize`, which knows more than they say

    # The long way of a run (architecture.md). A model that is one segment may never go it, nor load what it takes.

    @cached_property
    def _runner(self) -> Runner:
        from .running.bound import Runner

        runner: Runner = self.__dict__.setdefault("_runner", Runner(self._plan))     # one, whichever thread comes first
        return runner

    @cached_property
    def _predictor(self) -> Predictor:
        from .running.predict import Predictor

        predictor: Predictor = self.__dict__.setdefault("_predictor", Predictor(self._runner))
        return predictor

    # ---- what it is -------------------------------------------------------------------------------------------

    @property
    def graph(self) -> Graph:
        """The graph, with its weights in ONNX's gate order: plain read-only arrays, or `graph.quantized.Quantized`.

        The model holds its matrices packed alone: they are unpacked for each graph asked for, to the bit.
        """
        graph = self._whole()
        if graph is None:
            graph = restore(self._plan.skeleton)
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
    def dtype(self) -> Dtype:
        """What the layers compute in, "float32" or "float64"; `inputs` and `outputs` say what goes in and comes out."""
        return self._plan.dtype

    @property
    def quantization(self) -> Quantization | None:
        """What is quantised: the type and bytes of each layer; None for a float model.

        How far weights and outputs are from those of the float model is known where `quantize` made this model, and
        in its pickles; a file does not hold it, and a model from one has None in its place.
        """
        return self._report or quantization_of(self._plan.skeleton)

    @property
    def weight_dtype(self) -> WeightDtype:
        """The type of the layers' matrices, "mixed" where it is not one; of a float model its `dtype`."""
        report = self.quantization
        return self.dtype if report is None else report.weight_dtype

    @property
    def isa(self) -> str:
        """The instruction set the weights are packed for."""
        return self._plan.isa

    @property
    def gemm(self) -> Gemm:
        """What computes Dense and the input projections: "packed" or "blas"."""
        return self._plan.gemm

    @property
    def limits(self) -> Limits:
        """What the model and its calls may take."""
        return self._plan.bounds.limits

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What was assumed when the model was made from weights alone (docs/spec.md): sentences, kept in its file."""
        return tuple(self._plan.skeleton.metadata.get("assumptions", "").splitlines())

    def summary(self) -> str:
        """A table of the layers, their output shapes and parameters, and how the model will run."""
        from .summary import summary

        return summary(self)

    def memory(self) -> dict[str, int]:
        """Bytes of packed weights, of idle workspaces, of memory kept for large outputs to come, of the constants of
        host operators, and of weights that stand as arrays beside the packed ones ("raw": biases, peepholes, tables
        that NumPy reads). What several layers share is counted once. Where windows slide along time, streams pack the
        weights again, in the form that they run."""
        plans = self._runner.plans()
        cores = [step.core for plan in plans for step in plan.steps
                 if not isinstance(step, LoopStep) and step.core is not None]
        idle, kept = (sum(sizes) for sizes in zip((0, 0), *(core.memory() for core in cores)))
        host, raw = held_bytes(plan.skeleton for plan in plans)
        blocks = {address: size for core in cores for address, size in core.blocks().items()}
        return {"weights": sum(blocks.values()), "workspace": idle + self._runner.recorded_bytes(), "outputs": kept,
                "host_operators": host, "raw": raw}

    def __repr__(self) -> str:
        ins = ", ".join(f"{v.name}{list(v.shape)}" for v in self.inputs.values())
        outs = ", ".join(f"{v.name}{list(v.shape)}" for v in self.outputs.values())
        return f"<lstm_engine.Model {ins} -> {outs}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._plan.skeleton, self.gemm, self.limits, self._report)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model as a `*.lstm` file (docs/format.md); an existing file is replaced only by a whole one."""
        from . import format

        format.save(self._plan.skeleton, path_text(path, "save"))

    def stream(self, batch: int = 1, states: Mapping[str, str] | None = None, threads: int | None = None) -> Stream:
        """A stream of `batch` live sequences: the recurrent state is kept between calls.

        Convolutions and pools over time carry their past as well, so the answers are those of `predict` on the whole
        sequence (docs/streams.md). states: for a model whose states are explicit inputs and outputs, {input name:
        output name}; those that its layers prove are found without. Raises UnsupportedError, with the reason, for a
        model that cannot run step by step.
        """
        from .running.stream import Stream

        return Stream(self._runner, batch, states, threads)

    # ---- running ----------------------------------------------------------------------------------------------

    # A checker is told what the form of the input says: an array is answered with the array of a model of one output; a
    # model of several is better asked by name, whose answer is the union of what there may be.
    @overload
    def predict(self, x: Mapping[str, SupportsArray], lengths: Lengths | None = None, *,
                return_state: Literal[False] = False, **options: Unpack[PredictOptions]) -> Arrays: ...
    @overload
    def predict(self, x: Inputs | tuple[Input, ...], lengths: Lengths | None = None, *,
                return_state: Literal[False] = False, **options: Unpack[PredictOptions]) -> Outputs: ...
    @overload
    def predict(self, x: list[Any], lengths: Lengths | None = None, *,
                return_state: Literal[False] = False, **options: Unpack[PredictOptions]) -> Listed: ...
    @overload
    def predict(self, x: SupportsArray, lengths: Lengths | None = None, *,
                return_state: Literal[False] = False, **options: Unpack[PredictOptions]) -> Array: ...
    @overload
    def predict(self, x: Mapping[str, SupportsArray], lengths: Lengths | None = None, *, return_state: Literal[True],
                **options: Unpack[PredictOptions]) -> tuple[Arrays, States]: ...
    @overload
    def predict(self, x: Inputs | tuple[Input, ...], lengths: Lengths | None = None, *, return_state: Literal[True],
                **options: Unpack[PredictOptions]) -> tuple[Outputs, States]: ...
    @overload
    def predict(self, x: list[Any], lengths: Lengths | None = None, *, return_state: Literal[True],
                **options: Unpack[PredictOptions]) -> tuple[Listed, States]: ...
    @overload
    def predict(self, x: SupportsArray, lengths: Lengths | None = None, *, return_state: Literal[True],
                **options: Unpack[PredictOptions]) -> tuple[Array, States]: ...
    @overload
    def predict(self, x: Input | Inputs, lengths: Lengths | None = None, *, return_state: bool,
                **options: Unpack[PredictOptions]) -> Outputs | tuple[Outputs, States]: ...
    def predict(self, x: Any, lengths: Any = None, *, batch_size: int | None = None, progress: bool = False,
                out: np.ndarray | Mapping[str, np.ndarray] | None = None, threads: int | None = None,
                initial_state: Mapping[str, Mapping[str, np.ndarray]] | None = None, return_state: bool = False,
                nan: NanMode = "propagate") -> Any:
        """Run the model on a batch.

        x: [batch, time] token ids, [batch, time, features] numbers (or the layout that `inputs` shows), a list of
            sequences of any lengths, or a dict of these by input name. Numbers are cast to the dtype
            that `inputs` shows. Texts, [batch] or of the shape of the ids, where an input of ids has a `reading`.
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
            if plain and threads is None and lengths is None and self._only is not None and runtime.threads_known:
                y = self._only(x, 0, out)
                if y is not None:
                    return y
            count = runtime.num_threads(threads)
            if plain and self._direct is not None:
                y = self._direct.predict(x, lengths, out, count)
                if y is not None:
                    return y
        except MemoryError as error:
            out_of_memory(error)
        return self._predictor(x, lengths, batch_size, flag(progress, "progress"), out, count, initial_state,
                               flag(return_state, "return_state"), nan)

    __call__ = predict


def _graph_of(layers: Sequence[Layer] | Graph) -> Graph:
    if isinstance(layers, Graph):
        return layers
    from .layers import chain

    return chain(layers)


def _rebuild(graph: Graph, gemm: Gemm, limits: Limits | None = None, report: Quantization | None = None) -> Model:
    # The skeleton belongs to the pickle of this one model: nobody else has its arrays.
    model = Model(handed_over(checked(restore(graph))), gemm=gemm, limits=limits)
    model._report = report
    return model


def handed_over(whole: Checked) -> Checked:
    """A graph that nobody but the model made of it will read: its arrays may go while they are packed."""
    if not runtime.checking_wanted():               # else every run is compared with the graph
        give_up(array for node in every_node(whole.graph) for array in arrays_of(node))
    return whole
