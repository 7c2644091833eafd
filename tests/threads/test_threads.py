"""Many threads on one model, the number of threads, fork, the caller's floating-point mode, and Ctrl-C."""

import contextlib
import ctypes
import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from children import HANG, answer_of_a_child
from same_bits import Network

import lstm_engine as le
from lstm_engine.graph import Graph, Operator, Value

# Enough work for several threads (csrc/model/schedule.c keeps less on one).
BIG = Network("stack of ways", 40, 70, 24, 30, 0)
TOKENS = Network("tokens", 40, 96, 24, 30, 1)


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=HANG,
                          env={**os.environ, **environment})


@pytest.mark.parametrize("network", [BIG, TOKENS], ids=["floats", "tokens"])
def test_concurrent_predictions_give_the_same_bits(network):
    model, x = network.model(le.info()["isa"]), network.input()
    inputs = [x[: 4 + 5 * i, : 10 + 5 * i] for i in range(4)]
    wanted = [model.predict(part, threads=1) for part in inputs]

    def call(number: int) -> bool:
        i = number % len(inputs)
        return np.array_equal(model.predict(inputs[i], threads=1 + number % 3), wanted[i])

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(call, range(60)))


def test_concurrent_building_and_predicting():
    """Models built, run and dropped by several threads at once do not get into each other's way."""
    x, isa = BIG.input(), le.info()["isas"][-1]
    wanted = BIG.model(isa).predict(x)

    def build_and_run(_: int) -> bool:
        return np.array_equal(le.Model(graph).predict(x), wanted)

    graph = BIG.model(isa).graph
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(build_and_run, range(12)))


@pytest.mark.parametrize("threads", [1, 2, 3, 7, 64])
def test_the_threads_argument_changes_no_bits(threads):
    model, x = BIG.model(le.info()["isa"]), BIG.input()
    assert np.array_equal(model.predict(x, threads=threads), model.predict(x, threads=1))


@pytest.mark.parametrize("threads", [0, -1, 1025, 1.5, "two"])
def test_bad_numbers_of_threads_are_refused(threads):
    model = Network("lstm", 2, 3, 1, 2, 0).model("scalar")
    with pytest.raises(le.ArgumentError, match=r"threads must be a whole number from 1 to 1024"):
        model.predict(np.zeros((1, 2, 2), np.float32), threads=threads)
    with pytest.raises(le.ArgumentError, match=r"threads must be a whole number from 1 to 1024"):
        le.set_num_threads(threads)


def test_threads_argument_then_setting_then_environment():
    done = python("""
        import lstm_engine as le
        from lstm_engine.runtime import num_threads
        seen = [le.info()["threads"]]
        le.set_num_threads(2)
        seen += [le.info()["threads"], num_threads(5)]
        le.set_num_threads(None)
        print(*seen, le.info()["threads"])""", LSTM_ENGINE_NUM_THREADS="3")
    assert done.stdout.split() == ["3", "2", "5", "3"], done.stderr


def test_a_bad_number_in_the_environment_is_an_error_of_the_call():
    done = python("""
        import numpy as np, lstm_engine as le
        print("imported")
        le.Model([le.Dense(np.ones((2, 2)))]).predict(np.ones((1, 1, 2)))""", LSTM_ENGINE_NUM_THREADS="many")
    assert done.stdout == "imported\n"
    assert "ArgumentError: LSTM_ENGINE_NUM_THREADS must be a whole number from 1 to 1024, got 'many'" in done.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity on this system")
def test_the_default_keeps_to_the_affinity_mask():
    done = python("""
        import os
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        import lstm_engine as le
        print(le.info()["threads"])""", LSTM_ENGINE_NUM_THREADS="", OMP_NUM_THREADS="4")
    assert done.stdout.split() == ["1"], done.stderr


def test_the_default_keeps_to_openmps_limit():
    if not le.info()["openmp"]:
        pytest.skip("built without OpenMP")
    done = python("import lstm_engine as le; print(le.info()['threads'])", LSTM_ENGINE_NUM_THREADS="",
                  OMP_NUM_THREADS="1")
    assert done.stdout.split() == ["1"], done.stderr


# ---- fork ----------------------------------------------------------------------------------------------------

@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")       # Python 3.12 warns of what is tested here
def test_fork_after_many_threads_have_run():
    model, x = BIG.model(le.info()["isa"]), BIG.input()
    wanted = model.predict(x, threads=2).tobytes()          # OpenMP's pool is there now
    for _ in range(5):
        assert answer_of_a_child("fork", model, x) == wanted
        assert model.predict(x, threads=2).tobytes() == wanted       # and so does the parent


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork_while_other_threads_predict():
    """The lock of the workspaces is never held by a thread that the child does not have."""
    model, x = BIG.model(le.info()["isa"]), BIG.input()[:4]
    wanted = model.predict(x, threads=1).tobytes()
    stop = False

    def keep_busy() -> None:
        while not stop:
            model.predict(x, threads=2)

    with ThreadPoolExecutor(2) as pool:
        busy = [pool.submit(keep_busy) for _ in range(2)]
        try:
            for _ in range(5):
                assert answer_of_a_child("fork", model, x, ends=False) == wanted
        finally:
            stop = True
    assert all(future.result() is None for future in busy)


# ---- the caller's floating-point mode --------------------------------------------------------------------------

def floating_point_control():
    """libc's fegetenv and fesetenv, and where and what the bits for flushing denormals are."""
    layout = {"x86_64": (28, 4, 0x8040), "aarch64": (0, 4, 1 << 24)}.get(platform.machine())
    if layout is None or sys.platform != "linux":
        pytest.skip("no known way to set the floating-point mode here")
    try:
        return ctypes.CDLL("libm.so.6"), *layout
    except OSError:
        pytest.skip("no C library to set the floating-point mode with")


@contextlib.contextmanager
def flushing():
    """A caller in whose threads some library has set flush-to-zero."""
    libm, offset, size, flush = floating_point_control()
    environment, saved = (ctypes.create_string_buffer(64) for _ in range(2))
    libm.fegetenv(saved)
    libm.fegetenv(environment)
    word = int.from_bytes(environment.raw[offset:offset + size], "little") | flush
    environment[offset:offset + size] = word.to_bytes(size, "little")
    libm.fesetenv(environment)
    try:
        yield
    finally:
        libm.fesetenv(saved)


def test_flush_to_zero_of_the_caller_changes_no_bits():
    rng = np.random.default_rng(0)
    layers = [le.LSTM(rng.standard_normal((1, 80, 9)).astype("f"), rng.standard_normal((1, 80, 20)).astype("f") * 1e-20,
                      rng.standard_normal((1, 160)).astype("f") * 1e-40)]
    x = rng.standard_normal((8, 20, 9)).astype("f") * 1e-39
    state = {"lstm": {"h": rng.standard_normal((8, 1, 20)).astype("f") * 1e-20, "c": np.zeros((8, 1, 20), "f")}}
    wanted = le.Model(layers).predict(x, initial_state=state)
    assert (np.abs(wanted[wanted != 0]) < 1e-37).any()              # denormals are there to be flushed
    tiny = np.float32(1e-39)
    with flushing():
        flushed = tiny * np.float32(1)                              # proof that the mode is on
        got = [le.Model(layers).predict(x, initial_state=state, threads=threads) for threads in (1, 2)]
        still = tiny * np.float32(1)
    assert flushed == 0 and still == 0                              # and that it is the caller's again afterwards
    assert all(np.array_equal(y.view(np.uint32), wanted.view(np.uint32)) for y in got)


DENORMAL = {
    "a cast": lambda layers, x: le.Model(layers).predict(x),
    "a cast of a view": lambda layers, x: le.Model(layers).predict(x[::-1]),
    "lists": lambda layers, x: le.Model(layers).predict([row for row in x])[0],
    "a state": lambda layers, x: le.Model([le.RNN(np.zeros((1, 3, 3), "f"), np.eye(3, dtype="f")[None])]).predict(
        np.zeros((8, 1, 3), "f"), initial_state={"rnn": {"h": x[:, :1]}}),
    "a stream": lambda layers, x: le.Model([le.RNN(np.eye(3, dtype="f")[None], np.zeros((1, 3, 3), "f"))]
                                           ).stream(8).run(x),
    "padded": lambda layers, x: le.pad_sequences(list(x), 7, dtype="float32"),
    "weights": lambda layers, x: le.Model([le.Dense(np.eye(3) * 1e-41)], dtype="float32").predict(np.ones((1, 1, 3))),
    "an operator": lambda layers, x: le.ops.rnn(x.astype("f"), np.eye(3, dtype="f")[None], np.zeros((1, 3, 3), "f"),
                                                activations=["Relu"])[0],
    "operators of NumPy": lambda layers, x: halved().predict(x.astype("f")),
}


def halved() -> le.Model:
    node = Operator(name="half", inputs=("x", ""), outputs=("y",), op_type="Mul",
                    constants={1: np.array(0.5, np.float32)})
    return le.Model(Graph((Value("x", ("batch", "time", 3)),), (node,), ("y",)))


@pytest.mark.parametrize("way", DENORMAL)
def test_flush_to_zero_of_the_caller_changes_no_cast(way):
    layers = [le.Dense(np.eye(3, dtype="f"))]
    x = np.random.default_rng(0).uniform(1, 9, (8, 5, 3)) * 1e-41       # denormal in float32
    if way == "an operator" or way == "operators of NumPy":
        x = np.asarray(x, np.float32)
    wanted = DENORMAL[way](layers, x)
    assert (np.abs(wanted[wanted != 0]) < 1e-37).any()
    tiny = np.float32(1e-39)
    with flushing():
        flushed = tiny * np.float32(1)                                  # proof that the mode is on
        got = DENORMAL[way](layers, x)
        still = tiny * np.float32(1)
    assert flushed == 0 and still == 0
    assert np.array_equal(got.view(np.uint32), wanted.view(np.uint32))


# ---- Ctrl-C ------------------------------------------------------------------------------------------------------

LONG = """
    import signal, sys, numpy as np, lstm_engine as le
    signal.signal(signal.SIGINT, signal.default_int_handler)      # a shell's background jobs begin with it ignored
    rng = np.random.default_rng(0)
    def w(*shape): return rng.standard_normal(shape).astype("f") * 0.05
    model = le.Model([le.LSTM(w(1, 2048, 64), w(1, 2048, 512), return_sequences=False)])
    state = {"lstm": {"h": w(64, 1, 512), "c": w(64, 1, 512)}}
    before = {part: array.copy() for part, array in state["lstm"].items()}
    x = w(64, 20000, 64)                   # hours of work on one core, if nobody stops it
    print("ready", flush=True)
    try:
        model.predict(x, initial_state=state, threads=THREADS)
    except KeyboardInterrupt:
        same = all(np.array_equal(state["lstm"][part], before[part]) for part in before)
        small = model.predict(x[:2, :3])   # the model can still be used
        print("interrupted", same, np.isfinite(small).all(), flush=True)
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_ends_a_long_prediction(threads):
    code = textwrap.dedent(LONG).replace("THREADS", str(threads))
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.5)                                             # so that the prediction is under way
        child.send_signal(signal.SIGINT)
        out, errors = child.communicate(timeout=HANG)
    finally:
        child.kill()
    assert out == "interrupted True True\n", errors


def test_ctrl_c_leaves_a_stream_where_it_was():
    code = textwrap.dedent("""
        import signal, numpy as np, lstm_engine as le
        signal.signal(signal.SIGINT, signal.default_int_handler)
        rng = np.random.default_rng(0)
        def w(*shape): return rng.standard_normal(shape).astype("f") * 0.05
        model = le.Model([le.LSTM(w(1, 2048, 64), w(1, 2048, 512))])
        chunk, long = w(64, 5, 64), w(64, 8000, 64)
        with model.stream(batch=64) as stream:
            stream.run(chunk)
            before = {part: array.copy() for part, array in stream.state["lstm"].items()}
            print("ready", flush=True)
            try:
                stream.run(long)
            except KeyboardInterrupt:
                now = stream.state["lstm"]
                print("interrupted", all(np.array_equal(now[part], before[part]) for part in before), flush=True)
    """)
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        out, errors = child.communicate(timeout=HANG)
    finally:
        child.kill()
    assert out == "interrupted True\n", errors


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("batch", [1, 5])
def test_two_time_axes_one_of_them_of_no_steps(batch, threads):
    """Blocks are counted in steps: none of an axis without any. One row of two layers: each thread takes a layer."""
    from lstm_engine.graph import LSTM, Graph, Value

    rng = np.random.default_rng(0)

    def layer(name, x, features):
        W, R = (rng.standard_normal((1, 400, k)).astype(np.float32) * 0.1 for k in (features, 100))
        return LSTM(name=name, inputs=(x,), outputs=(f"y_{name}", f"h_{name}"), W=W, R=R)

    graph = Graph((Value("x_a", ("batch", "time_a", 100)), Value("x_b", ("batch", "time_b", 100))),
                  (layer("a", "x_a", 100), layer("a2", "y_a", 100), layer("b", "x_b", 100), layer("b2", "y_b", 100)),
                  ("y_a2", "h_a2", "y_b2", "h_b2"))
    model = le.Model(graph)
    long = rng.standard_normal((batch, 500, 100)).astype(np.float32)
    none = np.zeros((batch, 0, 100), np.float32)
    alone = model.predict({"x_a": long, "x_b": long}, threads=1)
    for a, b in ((long, none), (none, long), (none, none)):
        y = model.predict({"x_a": a, "x_b": b}, threads=threads)
        for name in y:
            x = a if "a2" in name else b
            expected = alone[name] if x is long else np.zeros_like(alone[name][:, :0] if alone[name].ndim == 3
                                                                   else alone[name])
            np.testing.assert_array_equal(y[name], expected, err_msg=name)
