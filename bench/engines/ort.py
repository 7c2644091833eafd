"""ONNX Runtime: intra_op = threads, inter_op 1, time-first models (its native order).

int8 is its own `quantize_dynamic` of the same models, weights int8 by channel.
"""

from __future__ import annotations

import logging
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime

from ..cells import LENGTHS, REAL, STREAM, VOICE, Case, Cell
from ..networks import with_states
from ..onnx_models import house_order, onnx_model
from .base import (
    Loaded,
    NotSupported,
    Outputs,
    Variant,
    batches_by_length,
    real_steps,
    time_first,
    unbatched,
    voice_variant,
)


class OnnxRuntime:
    name = "onnxruntime"

    def __init__(self) -> None:
        self.version = onnxruntime.__version__
        onnxruntime.set_default_logger_severity(3)
        self._sessions: dict[tuple, onnxruntime.InferenceSession] = {}

    def use_threads(self, threads: int) -> None:
        """Threads belong to a session here."""

    def _session(
        self, cell: Cell, case: Case, threads: int, dtype: str, **options
    ) -> onnxruntime.InferenceSession:
        key = cell.network, cell.kind, threads, dtype, *options
        if key not in self._sessions:
            graph = with_states(case.graph) if cell.kind == STREAM else case.graph
            model = onnx_model(graph, **options)
            if dtype == "int8":
                model = quantized(model)
            self._sessions[key] = onnxruntime.InferenceSession(
                model.SerializeToString(), _settings(threads), providers=["CPUExecutionProvider"]
            )
        return self._sessions[key]

    def build(self, cell: Cell, case: Case, threads: int, dtype: str) -> list[Variant]:
        if dtype not in ("float32", "int8"):
            raise NotSupported(f"{dtype}: its recurrent operators have kernels of float32 and dynamic int8 alone")
        if cell.kind == VOICE:
            return [self._voice(case, threads, dtype)]
        feeds = {name: time_first(x if x.dtype.kind == "f" else x.astype(np.int32)) for name, x in case.inputs.items()}
        if cell.kind == LENGTHS:
            return self._unequal(cell, case, threads, dtype, next(iter(feeds.values())))
        session = self._session(cell, case, threads, dtype)
        if cell.kind == STREAM:
            return [_stream(session, case, feeds)]
        return [
            Variant(
                "",
                lambda: session.run(None, feeds),
                lambda: house_order(case.graph, session.run(None, feeds)),
            )
        ]

    def _voice(self, case: Case, threads: int, dtype: str) -> Variant:
        assert case.voice is not None
        model = onnx.load(REAL / case.voice.file)
        if dtype == "int8":
            model = quantized(model, fold=True)
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), _settings(threads), providers=["CPUExecutionProvider"]
        )
        names = list(case.graph.outputs)
        return voice_variant(case, lambda inputs: dict(zip(names, session.run(names, inputs))))

    def _unequal(self, cell: Cell, case: Case, threads: int, dtype: str, x: np.ndarray) -> list[Variant]:
        plain = self._session(cell, case, threads, dtype)
        aware = self._session(cell, case, threads, dtype, lengths=True)
        lengths, name, out = case.lengths, case.graph.inputs[0].name, case.graph.outputs[0]
        assert lengths is not None
        padded, told = {name: x}, {name: x, "lengths": lengths}
        rows = batches_by_length(lengths)
        buckets = [{name: np.ascontiguousarray(x[: lengths[own].max(), own])} for own in rows]

        def of(call) -> Outputs:
            return {out: real_steps(house_order(case.graph, call())[out], lengths)}

        def bucketed() -> list:
            return [plain.run(None, feeds) for feeds in buckets]

        def whole() -> Outputs:
            parts = [house_order(case.graph, part)[out] for part in bucketed()]
            return {out: real_steps(unbatched(parts, rows, len(lengths), x.shape[0]), lengths)}

        return [
            Variant(
                "sequence_lens", lambda: aware.run(None, told), lambda: of(lambda: aware.run(None, told))
            ),
            Variant("bucketed", bucketed, whole),
            Variant("padded", lambda: plain.run(None, padded), lambda: of(lambda: plain.run(None, padded))),
        ]

    def store(self, case: Case, path: str) -> str:
        Path(path + ".onnx").write_bytes(onnx_model(case.graph).SerializeToString())
        return path + ".onnx"

    def load(self, path: str, threads: int) -> Loaded:
        session = onnxruntime.InferenceSession(path, _settings(threads), providers=["CPUExecutionProvider"])
        return lambda case: house_order(
            case.graph, session.run(None, {name: time_first(x) for name, x in case.inputs.items()})
        )


def quantized(model: onnx.ModelProto, *, fold: bool = False) -> onnx.ModelProto:
    """As `quantize_dynamic` makes it, convolutions left as they are, for ours are. fold: what the file computes of
    constants is computed first, as weights must stand in it. Raises NotSupported where it leaves a recurrent operator.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.getLogger().setLevel(logging.ERROR)  # it advises pre-processing whenever it is called
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        if fold:
            settings = _settings(1)
            settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
            settings.optimized_model_filepath = str(path)
            onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
            model = onnx.load(path)
        convolutions = [node.name for node in model.graph.node if node.op_type.startswith("Conv")]
        quantize_dynamic(model, path, per_channel=True, weight_type=QuantType.QInt8, nodes_to_exclude=convolutions)
        made = onnx.load(path)
    left = sorted({node.op_type for node in made.graph.node} & {"LSTM", "GRU", "RNN"})
    if left:
        raise NotSupported(f"int8: quantize_dynamic leaves {' and '.join(left)} in float32")
    return made


def _settings(threads: int) -> onnxruntime.SessionOptions:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    return settings


def _stream(session: onnxruntime.InferenceSession, case: Case, feeds: dict[str, np.ndarray]) -> Variant:
    """One step a call; the states that come out go in again."""
    graph = with_states(case.graph)
    x_name, states_in = graph.inputs[0].name, [value.name for value in graph.inputs[1:]]
    xs = [x_t[None] for x_t in next(iter(feeds.values()))]
    batch = xs[0].shape[1]
    zeros = {value.name: np.zeros((1, batch, int(value.shape[1])), np.float32) for value in graph.inputs[1:]}
    current = {x_name: xs[0], **zeros}
    run, (out,) = session.run, case.graph.outputs

    def step() -> np.ndarray:
        y, *states = run(None, current)
        for name, state in zip(states_in, states):
            current[name] = state
        return y

    def outputs() -> Outputs:
        current.update(zeros)
        ys = []
        for x_t in xs:
            current[x_name] = x_t
            ys.append(house_order(case.graph, [step()])[out])
        return {out: np.concatenate(ys, axis=1)}

    return Variant("", step, outputs)


def create() -> OnnxRuntime:
    return OnnxRuntime()
