"""Values that an argument may be given and is not made for, and the rule that every call keeps with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import lstm_engine as le


class Hostile:
    """Raises whatever it is asked."""

    def _refuse(self, *_: Any) -> Any:
        raise RuntimeError("asked")

    __repr__ = __str__ = __array__ = __len__ = __iter__ = __bool__ = __int__ = __index__ = __float__ = _refuse
    __fspath__ = __eq__ = __lt__ = __getitem__ = _refuse
    __hash__ = object.__hash__


class Subclass(np.ndarray):
    """An array of a class of the caller's own."""


def recursive() -> list:
    items: list = []
    items.append(items)
    return items


ODD: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "an object": object,
    "a hostile object": Hostile,
    "a class": lambda: dict,
    "True": lambda: True,
    "0": lambda: 0,
    "-1": lambda: -1,
    "2**31": lambda: 2**31,
    "2**80": lambda: 2**80,
    "10**5000": lambda: 10**5000,
    "1.5": lambda: 1.5,
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "a complex number": lambda: 1j,
    "''": str,
    "text": lambda: "abc",
    "a lone surrogate": lambda: "\ud800",
    "a zero byte": lambda: "a\0b",
    "long text": lambda: "a" * 5000,
    "bytes": lambda: b"\xff\xfe",
    "[]": list,
    "[None]": lambda: [None],
    "['a']": lambda: ["a"],
    "a ragged list": lambda: [[1, 2], [3]],
    "a list in itself": recursive,
    "a deep list": lambda: eval("[" * 60 + "]" * 60),      # noqa: S307
    "()": tuple,
    "{}": dict,
    "{1: 2}": lambda: {1: 2},
    "{'a': None}": lambda: {"a": None},
    "{'lstm': 3}": lambda: {"lstm": 3},
    "{'lstm': {'h': 'a'}}": lambda: {"lstm": {"h": "a"}},
    "a set": lambda: {1, 2},
    "a generator": lambda: (i for i in range(3)),
    "a function": lambda: len,
    "an empty array": lambda: np.array([]),
    "an array of no axes": lambda: np.array(2),
    "an array of two": lambda: np.array([1, 2]),
    "an array of text": lambda: np.array(["a", "b"]),
    "an array of objects": lambda: np.array([None, 1], object),
    "an array of void": lambda: np.zeros((2, 3), "V4"),
    "an empty array of void": lambda: np.zeros((0,), "V4"),
    "an array of fields": lambda: np.zeros((2, 3), [("a", "i4")]),
    "an array of dates": lambda: np.zeros((1, 2, 3), "M8[s]"),
    "an array of complex numbers": lambda: np.zeros((1, 2, 3), complex),
    "a masked array": lambda: np.ma.masked_less(np.arange(6.0).reshape(1, 2, 3), 3),
    "an array of rank 40": lambda: np.zeros((1,) * 40),
    "an array without memory": lambda: np.broadcast_to(np.float32(1), (2**20, 2**20, 2**20)),
    "a NumPy number": lambda: np.float32(1.5),
    "NumPy's True": lambda: np.True_,
}


def keeps_the_rule(call: Callable[[], Any]) -> le.LstmEngineError | None:
    """Make a call that may be wrong: whatever it is given, it answers, or raises one of our errors, which is returned.
    Anything else goes on to the test."""
    try:
        call()
    except le.LstmEngineError as error:
        assert str(error)
        return error
    return None
