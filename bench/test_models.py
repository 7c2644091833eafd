"""Whole networks: the reference systems, and trained models where their checkpoints are at hand."""

from __future__ import annotations

import pytest

import lstm_engine as le
from bench.cells import catalogue

REFERENCES = (
    "reference/sentiment-B1-T500",
    "reference/sequences-states-B32-T30",
    "reference/frames-relu-B32-T28",
    "reference/tagger-B64-T40",
)
REAL = ("real/activities-B1-T100", "real/sentences-B2-T58", "real/streamflow-126-B1-T168")


@pytest.mark.parametrize("name", (*REFERENCES, *REAL))
def test_model(benchmark, name, case, assert_right):
    if name not in catalogue():
        pytest.skip(
            "needs the folder of real checkpoints, ../shared/real beside the project, which is absent"
        )
    own = case(name)
    model, x = le.Model(own.graph), next(iter(own.inputs.values()))
    assert_right(own, benchmark(model.predict, x, threads=2))


def test_several_inputs(benchmark, case, assert_right):
    own = case("reference/translator-B32-T20")
    model = le.Model(own.graph)
    assert_right(own, benchmark(model.predict, own.inputs, threads=2))
