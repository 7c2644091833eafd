"""Streams: single steps and chunks with the state kept in C."""

from __future__ import annotations

import numpy as np
import pytest

import lstm_engine as le

if not hasattr(le.Model, "stream"):
    pytest.skip("Model.stream is not in this version", allow_module_level=True)


@pytest.mark.parametrize("name", ("stream/H32-B1-T1", "stream/H128-B1-T1"))
def test_step(benchmark, name, case, assert_right):
    own = case(name)
    model, x = le.Model(own.graph), own.inputs["x"]
    with model.stream(batch=1) as stream:
        stepped = np.stack([np.array(stream.step(x_t)) for x_t in x.swapaxes(0, 1).copy()], axis=1)
        assert_right(own, stepped)
        # The same sequence, the same bits, however it is cut.
        assert np.array_equal(stepped, model.predict(x))
        y = benchmark(stream.step, x[:, 0].copy())
    assert y.shape == stepped[:, 0].shape and np.isfinite(y).all()


def test_chunk(benchmark, case):
    own = case("steps/H128-B1-T20")
    model, x = le.Model(own.graph), own.inputs["x"]
    whole = model.predict(x)
    with model.stream(batch=1) as stream:

        def chunk() -> np.ndarray:
            stream.reset()
            return stream.run(x)

        assert np.array_equal(benchmark(chunk), whole)


def test_many_streams_at_once(benchmark, case):
    """32 live sequences, one step each."""
    own = case("steps/H128-B32-T5")
    model, x = le.Model(own.graph), own.inputs["x"]
    with model.stream(batch=32) as stream:
        first = np.array(stream.step(x[:, 0].copy()))
        assert np.array_equal(first, model.predict(x[:, :1].copy())[:, 0])
        y = benchmark(stream.step, x[:, 0].copy())
    assert y.shape == first.shape and np.isfinite(y).all()
