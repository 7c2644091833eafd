"""OpenVINO: LATENCY hint, static shapes, time-first models; float32, bfloat16 and float16 by its precision hint."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from ..cells import LENGTHS, REAL, STREAM, VOICE, Case, Cell
from ..networks import with_states
from ..onnx_models import house_order, onnx_model
from ..voices import zero_states
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

# --dtype -> its precision hint, and the name of that among what the CPU can do
_HINTS = {"float32": ("f32", "FP32"), "bfloat16": ("bf16", "BF16"), "float16": ("f16", "FP16")}

# Tried with NNCF 3.4: LSTM quantised after training does not compile ("expects Constant for port"), GRU is left out,
# and its compression of weights leaves both as they are.
_NO_INTEGERS = "NNCF's LSTM is refused by its CPU plugin, and it leaves GRU in float32"


def settings(core: openvino.Core, threads: int, dtype: str) -> dict[str, Any]:
    """Raises NotSupported for a type that it does not compute in on this CPU."""
    if dtype not in _HINTS:
        raise NotSupported(f"{dtype}: {_NO_INTEGERS}")
    hint, capability = _HINTS[dtype]
    if capability not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise NotSupported(f"{dtype}: not on this CPU")
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }


class OpenVino:
    name = "openvino"

    def __init__(self) -> None:
        self.version = openvino.__version__.split("-")[0]
        self._core = openvino.Core()
        self._shared: list[np.ndarray] = []  # a tensor does not keep the array alive whose memory it shares

    def use_threads(self, threads: int) -> None:
        """Threads belong to a compiled model here."""

    def _request(
        self,
        case: Case,
        inputs: dict[str, np.ndarray],
        threads: int,
        dtype: str,
        *,
        states: bool = False,
        lengths: bool = False,
    ) -> openvino.InferRequest:
        """A request with its inputs set; the arrays are shared, not copied."""
        chosen = settings(self._core, threads, dtype)
        graph = with_states(case.graph) if states else case.graph
        if any(getattr(node, "P", None) is not None for node in graph.nodes):
            raise NotSupported("peepholes: its CPU plugin leaves them out of the computation")
        proto = onnx_model(graph, lengths=lengths)
        try:
            model = self._core.read_model(proto.SerializeToString(), b"")
            model.reshape({name: x.shape for name, x in inputs.items()})
            request = self._core.compile_model(model, "CPU", chosen).create_infer_request()
        except RuntimeError as error:
            raise NotSupported(str(error).strip().splitlines()[-1][:120]) from error
        self._shared += inputs.values()
        for name, x in inputs.items():
            request.set_tensor(name, openvino.Tensor(x, shared_memory=True))
        return request

    def build(self, cell: Cell, case: Case, threads: int, dtype: str) -> list[Variant]:
        if cell.kind == VOICE:
            return [self._voice(case, threads, dtype)]
        inputs = {
            name: time_first(x if x.dtype.kind == "f" else x.astype(np.int32))
            for name, x in case.inputs.items()
        }
        if cell.kind == LENGTHS:
            return self._unequal(case, next(iter(inputs.values())), threads, dtype)
        if cell.kind == STREAM:
            return [self._stream(case, next(iter(inputs.values())), threads, dtype)]
        request = self._request(case, inputs, threads, dtype)

        def outputs() -> Outputs:
            request.infer()
            return house_order(case.graph, [request.get_tensor(name).data for name in case.graph.outputs])

        return [Variant("", partial(request.infer, share_outputs=True), outputs)]

    def store(self, case: Case, path: str) -> str:
        Path(path + ".onnx").write_bytes(onnx_model(case.graph).SerializeToString())
        return path + ".onnx"

    def load(self, path: str, threads: int) -> Loaded:
        chosen = settings(self._core, threads, "float32")
        compiled = self._core.compile_model(self._core.read_model(path), "CPU", chosen)
        request = compiled.create_infer_request()

        def run(case: Case) -> Outputs:
            request.infer({name: time_first(x) for name, x in case.inputs.items()})
            return house_order(case.graph, [request.get_tensor(name).data for name in case.graph.outputs])

        return run

    def _stream(self, case: Case, x: np.ndarray, threads: int, dtype: str) -> Variant:
        """One step a call; the states that come out are copied into the inputs."""
        graph, (out,) = with_states(case.graph), case.graph.outputs
        inputs = {value.name: np.zeros((1, x.shape[1], int(value.shape[1])), np.float32) for value in graph.inputs[1:]}
        x_t = x[:1].copy()
        request = self._request(case, {graph.inputs[0].name: x_t, **inputs}, threads, dtype, states=True)
        request.infer()
        made = [request.get_tensor(name).data for name in graph.outputs[1:]]
        pairs = list(zip(inputs.values(), made))

        def step() -> None:
            request.infer(share_outputs=True)
            for state_in, state_out in pairs:
                state_in[:] = state_out

        def outputs() -> Outputs:
            for state_in, _ in pairs:
                state_in[:] = 0
            ys = []
            for own in x:
                x_t[0] = own
                step()
                ys.append(house_order(case.graph, [request.get_tensor(out).data])[out])
            return {out: np.concatenate(ys, axis=1)}

        return Variant("", step, outputs)

    def _voice(self, case: Case, threads: int, dtype: str) -> Variant:
        """Inputs are copied into memory that the request reads."""
        voice, names = case.voice, list(case.graph.outputs)
        assert voice is not None
        held = {voice.frame: case.inputs[voice.frame][0].copy(), **zero_states(case.graph, voice.carried)}
        chosen = settings(self._core, threads, dtype)
        model = self._core.read_model(REAL / voice.file)
        model.reshape({name: x.shape for name, x in held.items()})
        request = self._core.compile_model(model, "CPU", chosen).create_infer_request()
        self._shared += held.values()
        for name, x in held.items():
            request.set_tensor(name, openvino.Tensor(x, shared_memory=True))
        request.infer()
        made = {name: request.get_tensor(name).data for name in names}

        def call(inputs: Outputs) -> Outputs:
            for name, x in inputs.items():
                held[name][...] = x
            request.infer(share_outputs=True)
            return made

        return voice_variant(case, call)

    def _unequal(self, case: Case, x: np.ndarray, threads: int, dtype: str) -> list[Variant]:
        lengths, name, out = case.lengths, case.graph.inputs[0].name, case.graph.outputs[0]
        assert lengths is not None
        rows = batches_by_length(lengths)
        aware = self._request(case, {name: x, "lengths": lengths}, threads, dtype, lengths=True)
        padded = self._request(case, {name: x}, threads, dtype)
        parts = [
            self._request(case, {name: x[: lengths[own].max(), own].copy()}, threads, dtype) for own in rows
        ]

        def of(request: openvino.InferRequest) -> Outputs:
            request.infer()
            return {out: real_steps(house_order(case.graph, [request.get_tensor(out).data])[out], lengths)}

        def bucketed() -> None:
            for request in parts:
                request.infer(share_outputs=True)

        def whole() -> Outputs:
            bucketed()
            made = [house_order(case.graph, [request.get_tensor(out).data])[out] for request in parts]
            return {out: real_steps(unbatched(made, rows, len(lengths), len(x)), lengths)}

        return [
            Variant("sequence_lens", partial(aware.infer, share_outputs=True), lambda: of(aware)),
            Variant("bucketed", bucketed, whole),
            Variant("padded", partial(padded.infer, share_outputs=True), lambda: of(padded)),
        ]


class OnnxFile:
    """An ONNX model in a type of --dtype, compiled for each of the shapes that come. Raises NotSupported."""

    def __init__(self, proto: Any, outputs: list[str], dtype: str) -> None:
        self._core = openvino.Core()
        self._settings = settings(self._core, 1, dtype)
        self._proto, self._outputs = proto.SerializeToString(), outputs
        self._requests: dict[tuple, openvino.InferRequest] = {}

    def __call__(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        shapes = {name: x.shape for name, x in inputs.items()}
        key = tuple(shapes.items())
        if key not in self._requests:
            try:
                model = self._core.read_model(self._proto, b"")
                model.reshape(shapes)
                compiled = self._core.compile_model(model, "CPU", self._settings)
            except RuntimeError as error:
                raise NotSupported(str(error).strip().splitlines()[-1][:120]) from error
            self._requests[key] = compiled.create_infer_request()
        request = self._requests[key]
        request.infer({name: np.ascontiguousarray(x) for name, x in inputs.items()})
        return [request.get_tensor(name).data.copy() for name in self._outputs]


def create() -> OpenVino:
    return OpenVino()
