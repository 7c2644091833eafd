"""A graph with weights of fewer bits: each step beside the definition in NumPy's integers, and the same bits always."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import lstm_engine as le

from .case import Case

if TYPE_CHECKING:
    from .ways import Arrays, Report

TYPES = ("int8", "int8_weights", "bfloat16", "float16")


@contextmanager
def beside_the_reference() -> Any:
    """Models made in here repeat every step of a run by lstm_engine.reference, which the kernels have no part in."""
    before = os.environ.get("LSTM_ENGINE_CHECK", "")
    os.environ["LSTM_ENGINE_CHECK"] = "1"
    try:
        yield
    finally:
        os.environ["LSTM_ENGINE_CHECK"] = before


def quantised(case: Case, report: Report, model: Any) -> None:
    """One type of weights a graph, in half of the graphs another one for half of its layers."""
    rng = np.random.default_rng(case.seed)
    first, second = rng.choice(TYPES, 2, replace=False)
    whole = report.attempt("quantize", lambda: le.quantize(model, str(first)))
    if whole is None:
        return                                              # nothing in it that has weights
    layers = {layer.name: str(second) for layer in whole.quantization.layers if rng.random() < 0.5}
    small = report.attempt("quantize", lambda: le.quantize(model, str(first), layers=layers)) \
        if layers and rng.random() < 0.5 else whole
    if small is not None:
        _runs(case, report, small)


def _runs(case: Case, report: Report, model: Any) -> None:
    from .ways import named

    def predict(way: str, of: Any, feeds: Arrays, **options: Any) -> Arrays | None:
        answer = report.attempt(way, lambda: of.predict(feeds, **options))
        return None if answer is None else named(of, answer)

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "m.lstm"
        report.attempt("quantised save", model.save, file)
        loaded = report.attempt("quantised load", le.load, file)
        with beside_the_reference():
            checked = report.attempt("quantised load", le.load, file)
    for call in (0, 1):
        feeds = {name: array for name, array in case.feeds(call).items() if name in model.inputs}
        before = predict("quantised", model, feeds)
        if before is None:
            return
        report.runs["quantised"] += 1
        before = {name: array.copy() for name, array in before.items()}
        others = [("threads", model, {"threads": threads}) for threads in (1, 2)]
        others += [(way, of, {}) for way, of in (("load", loaded), ("checked", checked)) if of is not None]
        for way, of, options in others:
            if (got := predict(f"quantised {way}", of, feeds, **options)) is not None:
                report.same(f"quantised {way}", got, before)
