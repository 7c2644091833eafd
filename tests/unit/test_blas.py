"""gemm="blas" and its providers: every kind of layer, beside the float64 oracle and packed kernels."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine import _core, blas, reference
from lstm_engine.graph import GRU, LSTM, RNN, Activation, Dense, Embedding, Graph, Pool, Value
from lstm_engine.operators import validate

PROVIDERS = ("chosen", "scipy", "plain")
H, F = 37, 21


@pytest.fixture(params=PROVIDERS)
def provider(request):
    """One provider in the slot; the usual one afterwards."""
    blas.provider()
    if request.param == "scipy":
        pytest.importorskip("scipy.linalg.cython_blas")
        assert blas._from_scipy() == "scipy (cython_blas)"
    elif request.param == "plain":
        if _core.blas_linked():
            pytest.skip("a linked BLAS stands in for no provider")
        blas._none()
    yield request.param
    blas._fill.cache_clear()
    blas.provider()


def weights(rng, kind, dirs, proj=None):
    def weight(*shape):
        return (rng.standard_normal(shape) * 0.3).astype("f4")
    own = {"W": weight(dirs, kind.gates * H, F), "R": weight(dirs, kind.gates * H, proj or H),
           "B": weight(dirs, 2 * kind.gates * H)}
    return own | ({"projection": weight(dirs, proj, H)} if proj else {})


CELLS = {
    "lstm": (LSTM, {}), "lstm two ways": (LSTM, {"direction": "bidirectional"}),
    "reverse": (LSTM, {"direction": "reverse"}), "projection": (LSTM, {"proj": 9}),
    "gru before": (GRU, {"direction": "bidirectional"}), "gru after": (GRU, {"linear_before_reset": True}),
    "rnn": (RNN, {"direction": "bidirectional"}),
}


def graph_of(rng, cell):
    kind, options = CELLS[cell]
    options = dict(options)
    dirs = 2 if options.get("direction") == "bidirectional" else 1
    proj = options.pop("proj", None)
    node = kind(name="cell", inputs=("x",), outputs=("y",), **weights(rng, kind, dirs, proj), **options)
    head = Dense(name="head", inputs=("y",), outputs=("z",), activation=Activation("softmax"),
                 kernel=(rng.standard_normal((dirs * (proj or H), 13)) * 0.3).astype("f4"), bias=rng.random(13, "f4"))
    return validate(Graph((Value("x", ("batch", "time", F)),), (node, head), ("y", "z")))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS)
def test_layers(cell, dtype, provider):
    rng = np.random.default_rng(0)
    graph = graph_of(rng, cell)
    x = rng.standard_normal((5, 19, F)).astype("f4")
    model = le.Model(graph, gemm="blas", dtype=dtype)
    assert model.gemm == "blas"
    exact = reference.run(graph, {"x": x})
    # Sums of 60 products of numbers near 1 and 19 steps: some hundred roundings of float32; 1e-5 is far from any
    # wrong weight, which would show at 1e-2.
    limit = 1e-5 if dtype == "float32" else 1e-12
    for name, y in model.predict(x).items():
        assert y.dtype == dtype
        np.testing.assert_allclose(y, exact[name], rtol=0, atol=limit)
    lengths = [19, 0, 3, 7, 12]
    own = model.predict(x, lengths=lengths)
    wanted = le.Model(graph, dtype=dtype).predict(x, lengths=lengths)
    for name in own:
        np.testing.assert_allclose(own[name], wanted[name], rtol=0, atol=2 * limit)


def test_ids_pools_masks_and_streams(provider):
    rng = np.random.default_rng(1)
    node = LSTM(name="cell", inputs=("e",), outputs=("y",), **weights(rng, LSTM, 1))
    table = Embedding(name="t", inputs=("ids",), outputs=("e",), table=rng.standard_normal((30, F)).astype("f4"))
    ids = rng.integers(0, 30, (4, 11))
    pooled = validate(Graph((Value("ids", ("batch", "time"), "int32"),),
                            (table, node, Pool(name="p", inputs=("y",), outputs=("m",), kind="mean")), ("m",)))
    np.testing.assert_allclose(le.Model(pooled, gemm="blas").predict(ids), reference.run(pooled, {"ids": ids})["m"],
                               rtol=0, atol=1e-5)
    graph = validate(Graph(pooled.inputs, (table, node), ("y",)))
    model = le.Model(graph, gemm="blas")
    whole = model.predict(ids)
    with model.stream(4) as stream:
        chunks = [stream.run(ids[:, :5]), stream.step(ids[:, 5])[:, None], stream.run(ids[:, 6:])]
    # A step alone may be summed in another order than in a block of many.
    np.testing.assert_allclose(np.concatenate(chunks, axis=1), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 5), (65, 33, 17), (1, 200, 3), (0, 4, 5), (4, 0, 5), (4, 5, 0)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products(shape, dtype, provider):
    """Small whole numbers, so that every order of summation is exact."""
    m, n, k = shape
    rng = np.random.default_rng(2)
    a, b = (rng.integers(-8, 9, size).astype(dtype) for size in ((m, k), (k, n)))
    c = np.full((m, n), np.nan, dtype)
    _core.blas_product(a, b, c)
    assert np.array_equal(c, a @ b)


def test_order_of_providers(monkeypatch):
    """NumPy's own, then SciPy's, then none; a wrong product is not trusted."""
    if _core.blas_linked():
        pytest.skip("a BLAS is linked: it comes first")
    asked = []

    def give(name, answer):
        def ask():
            asked.append(name)
            return answer
        return ask

    try:
        for numpy_has, scipy_has, wanted in (("numpy", "scipy", "numpy"), (None, "scipy", "scipy"),
                                             (None, None, "none (plain loop)")):
            monkeypatch.setattr(blas, "_from_numpy", give("numpy", numpy_has))
            monkeypatch.setattr(blas, "_from_scipy", give("scipy", scipy_has))
            blas._fill.cache_clear()
            assert blas.provider() == wanted
        assert asked == ["numpy", "numpy", "scipy", "numpy", "scipy"]
    finally:
        monkeypatch.undo()
        blas._fill.cache_clear()
        blas.provider()


def test_a_provider_that_is_wrong_is_not_trusted(monkeypatch):
    pytest.importorskip("scipy.linalg.cython_blas")
    monkeypatch.setattr(blas, "_right", lambda dtype: dtype == "float32")
    try:
        assert blas._from_scipy() is None
    finally:
        monkeypatch.undo()
        blas._fill.cache_clear()
        blas.provider()


def test_threads_that_come_at_once_find_one_provider():
    """The slot is filled by one of them; the others wait, and products that run meanwhile are right."""
    a, b = np.ones((4, 3), np.float32), np.ones((3, 5), np.float32)

    def ask(_: int) -> tuple[str, bool]:
        c = np.empty((4, 5), np.float32)
        name = blas.provider()
        _core.blas_product(a, b, c)
        return name, bool((c == 3).all())

    wanted = blas.provider()
    for _ in range(5):
        blas._fill.cache_clear()
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(ask, range(16))) == {(wanted, True)}


def test_the_slot_may_change_while_products_run():
    """Addresses and the kind of call they take belong together in every product."""
    blas.provider()
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-4, 5, shape).astype(np.float64) for shape in ((30, 40), (40, 20)))
    wanted, ended = a @ b, threading.Event()

    def change() -> None:
        while not ended.is_set():
            blas._none()
            blas._from_scipy() or blas._from_numpy()
            blas._from_numpy()

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for _ in range(300):
            c = np.empty((30, 20))
            _core.blas_product(a, b, c)
            assert np.array_equal(c, wanted)
    finally:
        ended.set()
        changing.join()
        blas._fill.cache_clear()
        blas.provider()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_of_a_thread_that_fills_the_slot_can_fill_it():
    with blas._lock:                    # as another thread may hold it at the time of the fork
        child = os.fork()
        if child == 0:
            os._exit(0 if blas.provider() else 1)
    assert os.waitpid(child, 0)[1] == 0
