"""Every instruction set gives the networks' values, on sizes beside the vector widths; a forced one is active."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from same_bits import ISAS, NETWORKS, Network

import lstm_engine as le
from lstm_engine import reference, runtime

# (features, hidden, batch, time): around 1, 4, 8, 16 lanes, 64 terms of a block, and the tiles of 2, 3 and 6 rows.
SIZES = [(1, 1, 1, 3), (3, 5, 2, 7), (16, 15, 7, 4), (17, 33, 13, 5), (65, 66, 5, 6), (64, 128, 1, 3), (130, 70, 3, 2)]
# float32: sums of at most 200 products of numbers below 1 round to a few 1e-7 each, over at most 7 steps and three
# layers; larger values in proportion.
TOLERANCE = 4e-6


def difference(got: np.ndarray, wanted: np.ndarray) -> float:
    return float((np.abs(got - wanted) / np.maximum(1, np.abs(wanted))).max())


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("isa", ISAS)
def test_values(kind, isa):
    for seed, (features, hidden, batch, time) in enumerate(SIZES):
        network = Network(kind, features, hidden, batch, time, seed)
        model, x = network.model(isa), network.input()
        got = model.predict(x)
        (exact,) = reference.run(model.graph, {"input": x}).values()
        assert model.isa == isa
        assert difference(got, exact) <= TOLERANCE, (kind, isa, SIZES[seed])
        if isa != "scalar":
            assert difference(got, network.model("scalar").predict(x)) <= TOLERANCE, (kind, isa, SIZES[seed])


@pytest.mark.parametrize("kind", ["stack of ways", "lstm peepholes", "gru reset before", "lstm projection"])
@pytest.mark.parametrize("isa", ISAS)
def test_double_precision(kind, isa):
    for seed, (features, hidden, batch, time) in enumerate(SIZES):
        network = Network(kind, features, hidden, batch, time, seed)
        le.set_isa(isa)
        try:
            model = le.Model(network.model(isa).graph, dtype="float64")
        finally:
            le.set_isa(None)
        x = network.input().astype(np.float64)
        (exact,) = reference.run(model.graph, {"input": x}).values()
        got = model.predict(x)
        assert got.dtype == np.float64
        assert difference(got, exact) <= TOLERANCE * 2.0**-29      # as above, with 53 bits in place of 24


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env={**os.environ, **environment})


@pytest.mark.parametrize("isa", ISAS)
def test_the_environment_forces_an_instruction_set(isa):
    done = python("import numpy as np, lstm_engine as le\n"
                  "m = le.Model([le.LSTM(np.ones((1, 8, 1), 'f'), np.ones((1, 8, 2), 'f'))])\n"
                  "print(le.info()['isa'], m.isa)", LSTM_ENGINE_ISA=isa)
    assert done.stdout.split() == [isa, isa], done.stderr


def test_an_empty_environment_variable_means_the_best():
    done = python("import lstm_engine as le; print(le.info()['isa'])", LSTM_ENGINE_ISA="")
    assert done.stdout.split() == [ISAS[-1]], done.stderr


def test_an_unknown_name_in_the_environment_is_an_error_of_the_first_use():
    done = python("import lstm_engine as le; print('imported'); le.info()", LSTM_ENGINE_ISA="mmx")
    assert done.stdout == "imported\n" and done.returncode == 1
    assert "ArgumentError: " in done.stderr and "'mmx'" in done.stderr and ISAS[0] in done.stderr


@pytest.mark.parametrize("isa", ISAS)
def test_set_isa_affects_models_built_later(isa):
    network = Network("lstm", 3, 4, 2, 3, 0)
    before = network.model(ISAS[-1])
    le.set_isa(isa)
    try:
        assert le.info()["isa"] == isa
        built = le.Model(before.graph)
    finally:
        le.set_isa(None)
    assert built.isa == isa and before.isa == ISAS[-1]
    assert difference(built.predict(network.input()), before.predict(network.input())) <= TOLERANCE


def test_set_isa_refuses_an_unknown_name():
    before = le.info()["isa"]
    with pytest.raises(le.ArgumentError, match=r"instruction set 'mmx' is not in this build; it has scalar"):
        le.set_isa("mmx")
    assert le.info()["isa"] == before


def test_set_isa_refuses_what_the_cpu_lacks(monkeypatch):
    # Which instruction sets a CPU lacks cannot be chosen here; the C tests run under valgrind, which lacks AVX-512.
    less = SimpleNamespace(isas=lambda: [("scalar", "portable C", True), ("avx512", "AVX-512 F", False)])
    monkeypatch.setattr(runtime, "_core", less)
    before = runtime._isa
    with pytest.raises(le.UnsupportedError, match=r"this CPU cannot run the instruction set avx512 \(AVX-512 F\)"):
        le.set_isa("avx512")
    assert runtime._isa == before
