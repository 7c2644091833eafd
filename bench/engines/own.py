"""lstm_engine."""

from __future__ import annotations

import numpy as np

import lstm_engine as le

from ..cells import LENGTHS, STREAM, VOICE, Case, Cell
from .base import QUANTIZED, Loaded, NotSupported, Outputs, Variant, array_dtype, voice_variant


class Own:
    def __init__(self, gemm: str = "packed") -> None:
        self.name, self.gemm = "lstm_engine" if gemm == "packed" else f"lstm_engine-{gemm}", gemm
        self.version = le.__version__
        self._models: dict[tuple, le.Model] = {}

    def use_threads(self, threads: int) -> None:
        le.set_num_threads(threads)

    def _model(self, cell: Cell, case: Case, dtype: str) -> le.Model:
        key = cell.network, dtype
        if key not in self._models:
            try:
                model = le.Model(case.graph, dtype=array_dtype(dtype), gemm=self.gemm)
                self._models[key] = le.quantize(model, dtype) if dtype in QUANTIZED else model
            except le.UnsupportedError as error:
                raise NotSupported(str(error)) from error
        return self._models[key]

    def build(self, cell: Cell, case: Case, threads: int, dtype: str) -> list[Variant]:
        model, dtype = self._model(cell, case, dtype), array_dtype(dtype)
        if cell.kind == VOICE:
            if dtype != "float32":
                raise NotSupported(f"{dtype}: voices are float32")
            return [voice_variant(case, model.predict)]
        if cell.kind == STREAM:
            return [_stream(model, case, dtype)]
        inputs = {name: x.astype(dtype) if x.dtype.kind == "f" else x for name, x in case.inputs.items()}
        x = next(iter(inputs.values())) if len(inputs) == 1 else inputs
        if cell.kind == LENGTHS:
            lengths = case.lengths
            return [
                Variant(
                    "lengths",
                    lambda: model.predict(x, lengths),
                    lambda: _named(model, model.predict(x, lengths)),
                )
            ]
        return [Variant("", lambda: model.predict(x), lambda: _named(model, model.predict(x)))]

    def store(self, case: Case, path: str) -> str:
        le.Model(case.graph, gemm=self.gemm).save(path + ".lstm")
        return path + ".lstm"

    def load(self, path: str, threads: int) -> Loaded:
        model = le.load(path, gemm=self.gemm)
        return lambda case: _named(model, model.predict(next(iter(case.inputs.values()))))


def _named(model: le.Model, answer: np.ndarray | Outputs) -> Outputs:
    return answer if isinstance(answer, dict) else {next(iter(model.outputs)): answer}


def _stream(model: le.Model, case: Case, dtype: str) -> Variant:
    try:
        stream = model.stream(batch=len(next(iter(case.inputs.values()))))
    except le.UnsupportedError as error:
        raise NotSupported(str(error)) from error
    steps = next(iter(case.inputs.values())).astype(dtype).transpose(1, 0, 2).copy()
    step, x = stream.step, steps[0]

    def outputs() -> Outputs:
        stream.reset()
        return {next(iter(model.outputs)): np.stack([np.array(step(x_t)) for x_t in steps], axis=1)}

    return Variant("", lambda: step(x), outputs)


def create() -> Own:
    return Own()
