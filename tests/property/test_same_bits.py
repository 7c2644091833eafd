"""Same sequence, same bits: every circumstance, over cells and sizes, on every instruction set of this machine."""

from __future__ import annotations

import numpy as np
import pytest
from same_bits import CIRCUMSTANCES, ISAS, NETWORKS, WEIGHTS, Differs, Network, run, same

import lstm_engine as le

hypothesis = pytest.importorskip("hypothesis")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

# Beside multiples of the lanes (4, 8, 16), of a panel (up to 64 units) and of the blocks in which products are summed.
EDGES = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 130)
sizes = st.sampled_from(EDGES) | st.integers(1, 140)
networks = st.builds(Network, kind=st.sampled_from(list(NETWORKS)), features=sizes, hidden=sizes,
                     batch=st.integers(1, 13), time=st.integers(1, 11), seed=st.integers(0, 2**16),
                     weights=st.sampled_from(WEIGHTS))


@pytest.mark.parametrize("name", CIRCUMSTANCES)
@settings(max_examples=20)
@given(network=networks)
def test_a_circumstance_changes_nothing(name, network):
    x = network.input()
    for isa in ISAS:
        try:
            CIRCUMSTANCES[name](network.model(isa), x, np.random.default_rng(network.seed))
        except Differs as error:
            raise AssertionError(f"{name}, {isa}, {network}: {error}") from None


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("name", CIRCUMSTANCES)
def test_every_network_under_every_circumstance(name, kind):
    """One size of each that reaches several panels, several blocks of k, and partial ones of both."""
    network = Network(kind, features=70, hidden=75, batch=7, time=9, seed=5)
    for isa in ISAS:
        CIRCUMSTANCES[name](network.model(isa), network.input(), np.random.default_rng(3))


@pytest.mark.parametrize("kind", ["lstm bidirectional", "lstm projection", "gru reset after", "gru reset before", "rnn",
                                  "stack", "tokens"])
@pytest.mark.parametrize("weights", WEIGHTS[1:])
def test_every_cell_with_weights_of_fewer_bits(weights, kind):
    """On the best instruction set: all of them in the test above, and in tests/csrc/test_bits.c."""
    network = Network(kind, features=70, hidden=75, batch=7, time=9, seed=5, weights=weights)
    model, x = network.model(ISAS[-1]), network.input()
    for name, circumstance in CIRCUMSTANCES.items():
        if name != "late threads":                          # slow; tools/reproducibility.py has it
            circumstance(model, x, np.random.default_rng(3))


def test_a_difference_is_seen():
    """The comparison itself: a last bit, a sign of zero."""
    y = np.zeros((2, 3), np.float32)
    same(y, y.copy(), "equal")
    for other in (-0.0, np.float32(1e-45)):
        changed = y.copy()
        changed[1, 2] = other
        with pytest.raises(Differs, match="1 of 6 elements differ"):
            same(changed, y, "changed")


@pytest.mark.parametrize("isa", ISAS)
def test_a_callers_flush_to_zero_changes_nothing(isa):
    """Denormal inputs and weights whose products matter, with the caller's floating-point mode flushing them."""
    torch = pytest.importorskip("torch")
    network = Network("lstm", features=20, hidden=33, batch=5, time=6, seed=1)
    model, tiny = network.model(isa), network.input() * np.float32(1e-41)
    wanted = {threads: run(model, tiny, threads=threads, split="units") for threads in (1, 2)}
    if not torch.set_flush_denormal(True):
        pytest.skip("this CPU cannot flush denormals to zero")
    try:
        assert (torch.tensor([1e-41]) * 1).item() == 0, "the mode is not on"
        for threads, right in wanted.items():
            same(run(model, tiny, threads=threads, split="units"), right, f"flushing, {threads} threads")
        flushed = np.float32(1e-30) * np.float32(1e-10)
    finally:
        torch.set_flush_denormal(False)
    assert flushed == 0, "the engine turned the caller's mode off"


@pytest.mark.parametrize("isa", ISAS)
def test_a_denormal_shows_in_the_result(isa):
    """The test above must be able to fail: without denormals the result is another."""
    le.set_isa(isa)
    try:
        one = np.ones((1, 1, 1), np.float32)
        model = le.Model([le.RNN(one, 0 * one, activations=["linear"])])
    finally:
        le.set_isa(None)
    assert model.predict(np.full((1, 1, 1), 1e-41, np.float32)).item() == np.float32(1e-41)


LARGE = [Network("lstm", 130, 257, 37, 40, 1), Network("gru reset after", 40, 320, 18, 33, 2),
         Network("lstm bidirectional", 64, 192, 20, 24, 3), Network("stack", 33, 150, 25, 31, 4)]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("network", LARGE, ids=lambda network: network.kind)
def test_sizes_that_are_dealt_to_threads_unasked(network, isa):
    """Large enough for the engine to deal rows, then units, on its own, and to cut time into blocks."""
    model, x = network.model(isa), network.input()
    wanted = run(model, x)
    for count in (2, 3):
        same(run(model, x, threads=count, split="auto"), wanted, f"{count} threads")
    same(run(model, x, threads=2, split="units"), wanted, "units dealt")
    same(np.concatenate([run(model, x[:1], threads=2, split="auto"), run(model, x[1:6], threads=2, split="auto")]),
         wanted[:6], "in two batches")
