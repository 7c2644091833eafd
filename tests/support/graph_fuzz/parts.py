"""Ways that run sequences in parts: `lengths=`, lists, and streams, against each sequence and each beginning alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .case import Case, Tensor
from .oracle import Oracle

if TYPE_CHECKING:
    from .ways import Arrays, Report


def _symbols(case: Case) -> tuple[str, str] | None:
    """The symbol of rows and that of steps, where every recurrent node reads the same ones and there are no others."""
    read = set()
    for node in case.nodes:
        if node.op_type in ("LSTM", "GRU", "RNN"):
            time, batch = case.values[node.input[0]].dims[:2]
            read.add((time, batch) if any(a.name == "layout" and a.i for a in node.attribute) else (batch, time))
    if len(read) != 1:
        return None
    rows, steps = read.pop()
    dims = {dim for t in case.inputs for dim in t.dims if isinstance(dim, str)}
    plain = all(isinstance(dim, int) or dim in dims for name in case.outputs if name in case.values
                for dim in case.values[name].dims)
    others = any(t.role.startswith("lengths") and t.role != f"lengths:{steps}" for t in case.inputs)
    if rows == steps or dims != {rows, steps} or not plain or others:
        return None
    if any(list(t.dims).count(symbol) > 1 for t in (*case.inputs, *case.values.values()) for symbol in dims):
        return None
    return str(rows), str(steps)


def _rows_are_apart(case: Case, oracle: Oracle, rows: str) -> bool:
    """Whether a row's exact numbers are the same without the other rows: a sum over rows has no row alone."""
    feeds = case.feeds(0)
    whole = oracle.exact(feeds)
    for row in range(case.sizes[0][rows]):
        part = slice(row, row + 1)
        alone = oracle.exact({t.name: _cut(t, feeds[t.name], rows, part) for t in case.inputs})
        for name, array in alone.items():
            other = _take(case, name, whole[name], rows, part)
            if other.shape != array.shape or not np.allclose(other, array, rtol=1e-9, atol=1e-12):
                return False
    return True


def _cut(t: Tensor, array: np.ndarray, symbol: str, part: slice) -> np.ndarray:
    return array[(slice(None),) * t.dims.index(symbol) + (part,)] if symbol in t.dims else array


def _take(case: Case, name: str, array: np.ndarray, symbol: str, part: slice) -> np.ndarray:
    return _cut(case.values[name], array, symbol, part) if name in case.values else array


def _feeds(case: Case, model: Any) -> Arrays:
    return {name: array for name, array in case.feeds(0).items() if name in model.inputs}


def lengths_and_lists(case: Case, report: Report, model: Any) -> None:
    """Each row must come out as if its steps alone had been given; past its end an output is 0."""
    found = _symbols(case)
    if found is None:
        return
    rows, steps = found
    batch, most = case.sizes[0][rows], case.sizes[0][steps]
    if batch == 0 or most == 0:
        return
    lengths = np.random.default_rng(case.seed).integers(1, most + 1, batch)
    inputs = {t.name: t for t in case.inputs}
    # The graph's own lengths may reach no further than those of the caller.
    whole = {name: np.minimum(array, lengths).astype(array.dtype) if inputs[name].role.startswith("lengths") else array
             for name, array in case.feeds(0).items()}
    feeds = {name: array for name, array in whole.items() if name in model.inputs}
    padded = report.attempt("lengths", lambda: model.predict(feeds, lengths=lengths))
    listed = report.attempt("list", lambda: model.predict(
        {name: [np.take(_cut(inputs[name], array, steps, slice(0, length)), row, inputs[name].dims.index(rows))
                for row, length in enumerate(lengths)] if {rows, steps} <= set(inputs[name].dims) else array
         for name, array in feeds.items()}))
    if padded is None and listed is None:
        return
    oracle = Oracle(replace(case, written={}))
    if not _rows_are_apart(case, oracle, rows):
        report.runs["lengths not compared: rows read each other"] += 1
        return
    for row, length in enumerate(lengths):
        alone = {t.name: _cut(t, _cut(t, whole[t.name], rows, slice(row, row + 1)), steps, slice(0, length))
                 for t in case.inputs}
        wanted = {name: want for name, want in oracle.run(alone).items()
                  if name in case.values and rows in case.values[name].dims}
        if padded is not None:
            made = padded if isinstance(padded, dict) else {case.outputs[0]: padded}
            own = {name: _take(case, name, made[name], rows, slice(row, row + 1)) for name in wanted}
            report.judge("lengths", {name: _take(case, name, a, steps, slice(0, length)) for name, a in own.items()},
                         wanted)
            if any(_take(case, name, a, steps, slice(length, None)).any() for name, a in own.items()
                   if steps in case.values[name].dims):
                report.found("lengths", "padding", "an output is not 0 past the end of its row")
        if listed is not None:
            made = listed if isinstance(listed, dict) else {case.outputs[0]: listed}
            report.judge("list", {name: _one_of_list(case.values[name], made[name][row], rows, steps)
                                  if isinstance(made[name], list)
                                  else _take(case, name, made[name], rows, slice(row, row + 1)) for name in wanted},
                         wanted)


def _one_of_list(t: Tensor, item: np.ndarray, rows: str, steps: str) -> np.ndarray:
    """A sequence of a list, steps first and without an axis of rows, in the order of axes that the value has."""
    without_rows = [dim for dim in t.dims if dim != rows]
    return np.expand_dims(np.moveaxis(item, 0, without_rows.index(steps)), t.dims.index(rows))


def streams(case: Case, report: Report, model: Any) -> None:
    """The answer at each step must be the last one of a whole run on the steps so far."""
    found = _symbols(case)
    if found is None:
        return
    rows, steps = found
    batch, most = case.sizes[0][rows], case.sizes[0][steps]
    if batch == 0 or most == 0:
        return
    feeds = _feeds(case, model)
    stepped = {model.inputs[t.name].shape[t.dims.index(steps)] for t in case.inputs
               if t.name in feeds and steps in t.dims}
    if len(stepped) != 1:
        return                          # the file does not say that all of these are the same steps
    stream = report.attempt("stream", lambda: model.stream(batch))
    if stream is None:
        return
    made = report.attempt("stream", lambda: stream.run(feeds))
    if made is None:
        return
    made = made if isinstance(made, dict) else {case.outputs[0]: made}
    oracle = Oracle(replace(case, written={}))
    along = next(t.dims.index(steps) for t in case.inputs if steps in t.dims and t.name in feeds)
    for t in range(most):
        begun = {i.name: _cut(i, case.feeds(0)[i.name], steps, slice(0, t + 1)) for i in case.inputs}
        for name, want in oracle.run(begun).items():
            if name not in case.values:
                continue
            timed = steps in case.values[name].dims
            if timed and model.outputs[name].shape[case.values[name].dims.index(steps)] not in stepped:
                continue            # the file does not say that these are steps, so each step's array is whole
            axis = case.values[name].dims.index(steps) if timed else min(along, want.exact.ndim)
            exact = np.take(want.exact, [t], axis) if timed else np.expand_dims(want.exact, axis)
            # A stream that gives fewer steps than came is a wrong shape, not an error of ours.
            report.judge("stream", {name: made[name][(slice(None),) * axis + (slice(t, t + 1),)]},
                         {name: replace(want, exact=exact)})
