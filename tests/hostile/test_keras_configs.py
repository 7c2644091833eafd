"""Configurations with random damage: a typed error, or a graph that passes its check, and nothing else."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("h5py")

from json_damage import damaged
from keras_configs import keras_2, keras_3

from lstm_engine.errors import FormatError, GraphError, UnsupportedError
from lstm_engine.importers.keras import _graph
from lstm_engine.operators import validate


@pytest.mark.parametrize("make", [keras_3, keras_2])
def test_the_configurations_that_are_damaged(make):
    contents, arrays = make()
    assert len(validate(_graph(contents, arrays)).nodes) > 5


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("make", [keras_3, keras_2])
def test_random_damage(make, seed):
    contents, arrays = make()
    rng = random.Random(seed)
    for number in range(60):
        try:
            validate(_graph(damaged(contents, rng, ("config",)), dict(arrays)))
        except (FormatError, UnsupportedError, GraphError):
            pass
        except Exception as error:
            raise AssertionError(f"seed {seed}, case {number}: {type(error).__name__}") from error
