"""le.pad_sequences where it goes its own way: dtypes, nothing at all, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import lstm_engine as le


def test_the_usual_call():
    padded = le.pad_sequences([[1, 2, 3], [4]], length=2, side="left", truncate="left", value=0)
    assert padded.dtype == np.int32 and padded.tolist() == [[2, 3], [0, 4]]


@pytest.mark.parametrize(("sequences", "dtype"), [
    ([[1, 2], [3]], "int32"),
    ([np.array([1, 2], np.int64), np.array([3], np.uint8)], "int32"),
    ([[0.5], [1]], "float64"),
    ([np.array([0.5], np.float32), []], "float32"),
    ([np.array([0.5], np.float16), np.array([0.5], np.float32)], "float32"),
    ([np.array([0.5], np.float32), np.array([2**24 + 1])], "float64"),
    ([[], []], "int32"),
])
def test_a_dtype_that_loses_nothing(sequences, dtype):
    padded = le.pad_sequences(sequences)
    assert padded.dtype == dtype
    for row, given in zip(padded, sequences, strict=True):
        assert row[len(row) - len(given):].tolist() == list(given)


def test_a_dtype_that_is_asked_for():
    assert le.pad_sequences([[2**40]], dtype="int64").tolist() == [[2**40]]
    assert le.pad_sequences([[1.0, 2.0]], 3, dtype="int32").tolist() == [[0, 1, 2]]
    assert le.pad_sequences([[1, 2]], dtype=np.float32).dtype == np.float32


def test_rows_of_an_array_and_iterators():
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert le.pad_sequences(x, 4).tolist() == [[0, 0, 1, 2], [0, 3, 4, 5]]
    assert le.pad_sequences(iter([[1], [2, 3]])).tolist() == [[0, 1], [2, 3]]
    lists = np.empty(2, object)                     # as keras.datasets.imdb gives them
    lists[:] = [[1], [2, 3]]
    assert le.pad_sequences(lists, 3).tolist() == [[0, 0, 1], [0, 2, 3]]


@pytest.mark.parametrize(("sequences", "length", "shape"), [
    ([], None, (0, 0)), ([], 3, (0, 3)), ([[], []], None, (2, 0)), ([[], []], 3, (2, 3)), ([[1, 2]], 0, (1, 0)),
    ([np.zeros((0, 3)), np.ones((2, 3))], None, (2, 2, 3)),
])
def test_nothing_to_pad(sequences, length, shape):
    assert le.pad_sequences(sequences, length).shape == shape


def test_the_sequences_stay_as_they_were():
    x = [np.array([1, 2, 3], np.int32)]
    le.pad_sequences(x, 3)[...] = 9
    assert x[0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(("arguments", "error", "message"), [
    (([[1]], 2, "pre"), le.ArgumentError, "side is one of left, right, not 'pre' (Keras' 'pre' is 'left')"),
    (([[1]], 2, "left", "post"), le.ArgumentError,
     "truncate is one of left, right, not 'post' (Keras' 'post' is 'right')"),
    (([[1]], -1), le.ArgumentError, "length must be at least 0, got -1"),
    (([[1]], 2.0), le.ArgumentTypeError, "length is a whole number of steps or None, not 2.0"),
    (([[1]], True), le.ArgumentTypeError, "length is a whole number of steps or None, not True"),
    (("text",), le.ArgumentTypeError, "expected a list of sequences (or an array of rows), got str"),
    ((7,), le.ArgumentTypeError, "expected a list of sequences (or an array of rows), got int"),
    (([1, 2],), le.ArgumentTypeError, "sequence 0: expected a list or an array of steps, got 1"),
    (([["a"]],), le.ArgumentTypeError, "sequence 0: expected numbers, got dtype <U1"),
    (([[1], [[2], [3, 4]]],), le.ArgumentError, "sequence 1: not a rectangular array of numbers"),
    (([[1], [[2]]],), le.ArgumentError, "sequence 1: expected shape [time], as sequence 0 has, got [1, 1]"),
    (([[[1, 2]], [[1, 2, 3]]],), le.ArgumentError,
     "sequence 1: expected shape [time, 2], as sequence 0 has, got [1, 3]"),
    (([[1], [2**31]],), le.ArgumentError, "sequence 1: 2147483648 does not fit int32; give dtype="),
])
def test_what_is_refused(arguments, error, message):
    sequences, length, side, truncate = (*arguments, *(None, "left", "left")[len(arguments) - 1:])
    with pytest.raises(error) as raised:
        le.pad_sequences(sequences, length, side=side, truncate=truncate)
    assert message in str(raised.value)


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"value": 0.5}, le.ArgumentError, "value: 0.5 does not fit int32; give dtype="),
    ({"value": np.nan}, le.ArgumentError, "value: nan does not fit int32; give dtype="),
    ({"value": "x"}, le.ArgumentTypeError, "value: expected a number"),
    ({"value": [0, 1]}, le.ArgumentTypeError, "value: expected a number"),
    ({"dtype": "str"}, le.ArgumentTypeError, "dtype is one of integers or floating-point numbers, not <U0"),
    ({"dtype": "float31"}, le.ArgumentTypeError, "dtype 'float31' is none that NumPy knows"),
    ({"dtype": "uint8", "value": -1}, le.ArgumentError, "value: -1 does not fit uint8"),
])
def test_options_that_are_refused(options, error, message):
    with pytest.raises(error) as raised:
        le.pad_sequences([[1, 2]], 3, **options)
    assert message in str(raised.value)


@pytest.mark.parametrize("given", [[2**32 + 1.5], [np.inf], [np.nan], [-0.5]])
def test_ids_of_a_dtype_that_cannot_hold_them(given):
    with pytest.raises(le.ArgumentError, match="does not fit int32"):
        le.pad_sequences([given], dtype="int32")
