"""OpenVINO: LATENCY hint, float32 arithmetic, static shapes, time-first models."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from ..cells import LENGTHS, STREAM, Case, Cell
from ..networks import with_states
from ..onnx_models import house_order, onnx_model
from .base import Loaded, NotSupported, Outputs, Variant, batches_by_length, real_steps, time_first, unbatched


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
        if dtype != "float32":
            raise NotSupported(f"{dtype} on its CPU plugin")
        graph = with_states(case.graph) if states else case.graph
        if any(getattr(node, "P", None) is not None for node in graph.nodes):
            raise NotSupported("peepholes: its CPU plugin leaves them out of the computation")
        proto = onnx_model(graph, lengths=lengths)
        try:
            model = self._core.read_model(proto.SerializeToString(), b"")
            model.reshape({name: x.shape for name, x in inputs.items()})
            request = self._core.compile_model(model, "CPU", _settings(threads)).create_infer_request()
        except RuntimeError as error:
            raise NotSupported(str(error).strip().splitlines()[-1][:120]) from error
        self._shared += inputs.values()
        for name, x in inputs.items():
            request.set_tensor(name, openvino.Tensor(x, shared_memory=True))
        return request

    def build(self, cell: Cell, case: Case, threads: int, dtype: str) -> list[Variant]:
        inputs = {
            name: time_first(x.astype(dtype if x.dtype.kind == "f" else np.int32))
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
        compiled = self._core.compile_model(self._core.read_model(path), "CPU", _settings(threads))
        request = compiled.create_infer_request()

        def run(case: Case) -> Outputs:
            request.infer({name: time_first(x) for name, x in case.inputs.items()})
            return house_order(case.graph, [request.get_tensor(name).data for name in case.graph.outputs])

        return run

    def _stream(self, case: Case, x: np.ndarray, threads: int, dtype: str) -> Variant:
        """One step a call; the states that come out are copied into the inputs."""
        graph = with_states(case.graph)
        inputs = {value.name: np.zeros((1, x.shape[1], int(value.shape[1])), dtype) for value in graph.inputs[1:]}
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
                ys.append(request.get_tensor(graph.outputs[0]).data[0, 0].copy())
            return {case.graph.outputs[0]: np.stack(ys, axis=1)}

        return Variant("", step, outputs)

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


def _settings(threads: int) -> dict[str, Any]:
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }


def create() -> OpenVino:
    return OpenVino()
