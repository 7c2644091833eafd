"""Single layers at usual sizes: forward, bidirectional, stacked, unequal lengths; one thread and two."""

from __future__ import annotations

import pytest

import lstm_engine as le

LAYERS = (
    "lstm/H32-B1-T50",
    "lstm/H128-B8-T50",
    "lstm/H256-B1-T1",
    "gru/H64-B8-T50",
    "stack/H64-B8-T50",
    "bidirectional/H64-B8-T50",
    "odd/H50-B32-T50",
)


@pytest.mark.parametrize("threads", (1, 2))
@pytest.mark.parametrize("name", LAYERS)
def test_layer(benchmark, name, threads, case, assert_right):
    own = case(name)
    model, x = le.Model(own.graph), own.inputs["x"]
    assert_right(own, benchmark(model.predict, x, threads=threads))


def test_float64(benchmark, case, assert_right):
    own = case("lstm/H64-B8-T50")
    model, x = le.Model(own.graph, dtype="float64"), own.inputs["x"].astype(float)
    assert_right(own, benchmark(model.predict, x, threads=1), dtype="float64")


def test_blas(benchmark, case, assert_right):
    own = case("lstm/H64-B8-T50")
    model, x = le.Model(own.graph, gemm="blas"), own.inputs["x"]
    assert_right(own, benchmark(model.predict, x, threads=1))


def test_unequal_lengths(benchmark, case, assert_right):
    own = case("lengths/H128-B64-T256")
    model, x = le.Model(own.graph), own.inputs["x"]
    assert_right(own, benchmark(model.predict, x, own.lengths, threads=1))


def test_out_argument(benchmark, case, assert_right):
    """Writing into the caller's array."""
    own = case("lstm/H32-B1-T1")
    model, x = le.Model(own.graph), own.inputs["x"]
    out = model.predict(x) * 0
    assert benchmark(model.predict, x, out=out, threads=1) is out
    assert_right(own, out)
