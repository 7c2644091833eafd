"""Inputs of known shapes go the short way: with what the long way says, right or wrong."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_engine.errors import ArgumentError, ArgumentTypeError
from lstm_engine.graph import Value
from lstm_engine.plan.axes import Axes
from lstm_engine.running.inputs import InputCheck, check_inputs

INPUTS = (Value("x", ("batch", "time", 3)), Value("ids", ("batch", "time"), "int32"), Value("h", ("batch", 2)))
AXES = Axes({value.name: value for value in INPUTS}, "batch", frozenset({"time"}), False)


def given(batch: int = 4, time: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(batch)
    return {"x": rng.standard_normal((batch, time, 3)).astype("f4"),
            "ids": rng.integers(0, 9, (batch, time), np.int32), "h": rng.standard_normal((batch, 2)).astype("f4")}


@pytest.fixture
def check() -> InputCheck:
    """It knows the shapes of `given` already."""
    made = InputCheck(INPUTS, AXES, None)
    for batch, time in ((4, 5), (1, 1)):
        made(given(batch, time), None)
    return made


@pytest.mark.parametrize("sizes", [(4, 5), (1, 1), (2, 5)])
def test_the_same_as_the_long_way(check, sizes):
    x = given(*sizes)
    for _ in range(2):
        short, long = check(x, None), check_inputs(INPUTS, AXES, x, None)
        assert (short.batch, short.sizes, short.lengths, short.listed) == (long.batch, long.sizes, {}, False)
        assert list(short.arrays) == list(long.arrays)
        assert all(short.arrays[name] is x[name] for name in ("x", "h"))
        # Whole numbers are the call's own: their caller may change them while they are read.
        assert np.array_equal(short.arrays["ids"], x["ids"]) and not np.shares_memory(short.arrays["ids"], x["ids"])
        short.arrays["more"] = short.sizes["more"] = 0          # the caller's to add to


def test_what_is_not_as_it_runs_is_converted(check):
    x = given()
    for name, other in (("x", x["x"].astype("f8")), ("x", np.asfortranarray(x["x"])), ("ids", x["ids"].astype("i8")),
                        ("h", x["h"].astype(">f4")), ("h", x["h"].tolist()), ("x", np.repeat(x["x"], 2, 0)[::2])):
        made = check({**x, name: other}, None).arrays[name]
        assert made.dtype == x[name].dtype and made.flags.c_contiguous and np.array_equal(made, x[name])
    assert np.array_equal(check((x["x"], x["ids"], x["h"]), None).arrays["h"], x["h"])


@pytest.mark.parametrize(("changes", "error", "words"), [
    ({"x": np.zeros((4, 5, 2), "f4")}, ArgumentError, "expected shape"),
    ({"ids": np.zeros((4, 6), "i4")}, ArgumentError, "expected shape"),
    ({"ids": np.zeros((4, 5), "f4")}, ArgumentTypeError, "whole numbers"),
    ({"h": np.zeros((3, 2), "f4")}, ArgumentError, "expected shape"),
    ({"h": None, "g": np.zeros((4, 2), "f4")}, ArgumentError, "must be named"),
])
def test_what_is_wrong_is_refused(check, changes, error, words):
    x = {name: array for name, array in (given() | changes).items() if array is not None}
    for _ in range(2):
        with pytest.raises(error, match=words):
            check(x, None)


def test_shapes_that_another_thread_forgets_meanwhile(check):
    """The shapes are known when they are looked for, and gone a moment later."""
    class Forgetting(dict):
        def __contains__(self, key):
            found = super().__contains__(key)
            self.clear()
            return found

        def get(self, key, default=None):
            found = super().get(key, default)
            self.clear()
            return found

    check._known = Forgetting(check._known)
    assert check(given(), None).batch == 4 and check(given(), None).batch == 4
