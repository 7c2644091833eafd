"""Calls of recordings in one call of the core: NumPy's bits, or NumPy's own calls."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from lstm_engine._core import CoreModel, Steps
from lstm_engine.operators.kernels import Call
from lstm_engine.running.merge import _order, merged

SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-42, -1e-42, 3.4e38, 1.0, -2.5], np.float32)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    made.reshape(-1)[:SPECIAL.size] = SPECIAL[:made.size]
    return made


def check(calls: list[Call], *made: np.ndarray, whole: bool = True) -> None:
    """Whether the calls leave the same bits when they are merged; `whole`: all of them in one call."""
    fewer = merged(calls)
    assert not whole or [type(function) for function, _ in fewer] == [Steps]
    results = []
    with np.errstate(all="ignore"):
        for run in (calls, fewer):
            for array in made:
                array[...] = 7
            for function, arguments in run:
                function(*arguments)
            results.append([array.copy() for array in made])
    for a, b in zip(*results):
        np.testing.assert_array_equal(a, b)
        numeric = ~np.isnan(a) if a.dtype.kind == "f" else np.ones(a.shape, bool)
        np.testing.assert_array_equal(np.signbit(a[numeric]) if a.dtype.kind == "f" else a,
                                      np.signbit(b[numeric]) if a.dtype.kind == "f" else b)


LAYOUTS: dict[str, Any] = {
    "dense": lambda x: x, "moved": lambda x: x.transpose(2, 0, 1), "backwards": lambda x: x[::-1, :, ::-1],
    "every other": lambda x: x[:, :, ::2], "one": lambda x: x[:1, :, :1], "number": lambda x: x[0, 0, 0],
    "0 axes": lambda x: x[1, 2, 3, ...]}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("function", [np.add, np.subtract, np.multiply, np.divide], ids=lambda f: f.__name__)
def test_two_operands(function: np.ufunc, layout: str) -> None:
    a = LAYOUTS[layout](numbers(6, 7, 10))
    for b in (np.float32(-0.5), LAYOUTS[layout](numbers(6, 7, 10, seed=1)), np.array(3, np.float32)):
        with np.errstate(all="ignore"):
            out = np.empty_like(function(a, b))
        check([(function, (a, b, out))], out)
        check([(function, (b, a, out)), (function, (out, out, out))], out)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_operand(layout: str) -> None:
    x = np.asarray(LAYOUTS[layout](numbers(6, 7, 10)))
    out, zero = np.empty_like(x), np.float32(0)
    below = np.empty_like(x, bool)
    for slope in (np.array(0.25, np.float32), np.abs(x)):
        check([(np.less, (x, 0, below)), (np.copyto, (out, x)),
               (partial(np.multiply, x, slope, out, where=below), ())], out)
    for calls in ([(np.sqrt, (x, out))], [(np.negative, (x, out))], [(partial(np.maximum, x, zero, out=out), ())],
                  [(np.copyto, (out, x))], [(partial(np.copyto, casting="same_kind"), (out, x))], [(out.fill, (0,))]):
        check(calls, out)


@pytest.mark.parametrize("dtype", ["i8", "i4", "?", "u1", "f8", "f2"])
def test_copies_of_any_type(dtype: str) -> None:
    x = (np.random.default_rng(0).integers(0, 2, (4, 5, 6)) if dtype == "?" else 3 * numbers(4, 5, 6)[1:3]
         ).astype(dtype) if dtype in "?f8f2" else np.arange(120).reshape(4, 5, 6).astype(dtype)
    out = np.empty(x.shape[::-1], dtype)
    check([(np.copyto, (out, x.T))], out, whole=dtype != "f2")
    other = np.empty(x.shape[::-1], "f4" if dtype != "f4" else "f8")
    assert [f for f, _ in merged([(np.copyto, (other, x.T))])] == [np.copyto]
    joined = np.empty((x.shape[0], 2 * x.shape[1], x.shape[2]), dtype)
    check([(np.concatenate, ((x, x), 1, joined))], joined, whole=dtype != "f2")


SUMS = [((3, 5), (1,)), ((3, 300), (1,)), ((300, 3), (0,)), ((2, 33, 16), (1, 2)), ((2, 33, 16), (2,)),
        ((2, 33, 16), (1,)), ((2, 129, 25), (1,)), ((1, 1, 7), (2,)), ((4, 9, 1), (1,)), ((2, 3, 4), (0, 2)),
        ((2, 3, 4), (0, 1, 2)), ((1000,), (0,))]


@pytest.mark.parametrize("shape, axes", SUMS, ids=str)
@pytest.mark.parametrize("order", ["dense", "moved"])
@pytest.mark.parametrize("keep", [True, False])
def test_sums(shape: tuple[int, ...], axes: tuple[int, ...], order: str, keep: bool) -> None:
    for seed in range(6):
        x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
        if order == "moved":
            x = np.ascontiguousarray(x.T).T
        out = np.empty_like(np.add.reduce(x, axes, keepdims=keep))
        check([(np.add.reduce, (x, axes, None, out, keep)), (np.divide, (out, np.float32(3), out))], out,
              whole=(shape, axes) != ((2, 3, 4), (0, 2)))
        x[...] = -0.0
        check([(np.add.reduce, (x, axes, None, out, keep))], out, whole=False)


def test_an_order_of_sums_that_is_not_known_is_left_to_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "add", Backwards())
    assert _order.__wrapped__((4, 100), (400, 4), (4, 0), (1,)) is None


class Backwards:
    """np.add, if it summed from the end."""

    def reduce(self, x: np.ndarray, axes: Any, out: np.ndarray, keepdims: bool) -> None:
        out[...] = np.cumsum(x[..., ::-1], axis=axes[0])[..., -1:]


def test_what_is_not_known_stays_between() -> None:
    x, a, b, c = (numbers(4, 5, seed=seed) for seed in range(4))
    calls: list[Call] = [(np.add, (x, x, a)), (np.exp, (a, b)), (np.negative, (b, c)), (np.add, (c, 1, c)),
                         (np.multiply, (c, x, a)), (np.sqrt, (a, b))]
    assert [f if isinstance(f, np.ufunc) else f.count for f, _ in merged(calls)] == [1, np.exp, 1, np.add, 2]
    check(calls, a, b, c, whole=False)


def test_arrays_that_no_step_takes() -> None:
    x, wide = numbers(4, 6), np.zeros((4, 6))
    memory = np.zeros(25, np.float32)
    read_only = np.zeros((4, 6), np.float32)
    read_only.flags.writeable = False
    unaligned = np.zeros(97, np.uint8)[1:].view(np.float32).reshape(4, 6)
    swapped = x.astype(">f4")
    overlapping = memory[:24].reshape(4, 6), memory[1:].reshape(4, 6)
    nested = np.zeros((2,) * 9, np.float32)
    for call in ((np.add, (x, wide, wide)), (np.add, (x, x, wide)), (np.copyto, (wide, x)),
                 (np.copyto, (overlapping[0], overlapping[1])), (np.add, (*overlapping, overlapping[0])),
                 (np.add, (unaligned, x, x.copy())), (np.add, (x, x, unaligned)), (np.add, (swapped, x, x.copy())),
                 (np.add, (nested, nested, nested.copy())), (np.copyto, (x, x, "unsafe")),
                 (np.copyto, (np.empty(3, object), np.empty(3, object))), (np.add, (x, x)),
                 (np.copyto, (np.lib.stride_tricks.as_strided(memory, (4, 6), (0, 4)), x)),
                 (np.copyto, (np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32)))):
        assert merged([call]) == [call]
    assert merged([(np.copyto, (read_only, x))])[0][0] is np.copyto


def test_a_view_of_a_window_of_memory_lies_within_it() -> None:
    memory = np.arange(12, dtype=np.float32)
    beyond = np.ndarray((4, 6), np.float32, memory, 0, (8, 4))[:, :6]
    out = np.empty((4, 6), np.float32)
    check([(np.copyto, (out, beyond))], out)


def test_runs_of_models_are_steps_too() -> None:
    core = CoreModel(None, "float32", "packed")
    from lstm_engine.graph import LINEAR

    core.output(core.dense(core.input(False, 0, 4), np.eye(4, 3, dtype=np.float32), None, LINEAR))
    core.finish()
    given = np.random.default_rng(0).standard_normal((2, 4)).astype(np.float32)
    x, y = np.zeros((2, 4), np.float32), np.empty((2, 3), np.float32)
    call = core.bind([x], 1, y)
    fewer = merged([(np.copyto, (x, given)), (call, ()), (np.negative, (y, y))])
    assert len(fewer) == 1 and fewer[0][0].count == 3
    fewer[0][0]()
    np.testing.assert_array_equal(y, -x[:, :3])
