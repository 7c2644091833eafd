"""Threads beside other processes: ways of starting children, idle threads, and libraries that look for thread pools.

Times are no test's business: `python -m bench.threads` measures throughput and the CPU time of idle threads.
"""

import multiprocessing
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from children import HANG, answer_of_a_child
from same_bits import Network

import lstm_engine as le

BIG = Network("stack of ways", 40, 70, 24, 30, 0)      # enough work for several threads


def python(code: str, **environment: str) -> str:
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=HANG,
                          check=True, env={**os.environ, **environment}).stdout


@pytest.mark.parametrize("method", [method for method in ("spawn", "forkserver")
                                    if method in multiprocessing.get_all_start_methods()])
def test_children_started_afresh_take_the_model(method):
    """The model travels by pickle; the parent's threads have run."""
    model, x = BIG.model(le.info()["isa"]), BIG.input()[:8]
    assert answer_of_a_child(method, model, x) == model.predict(x, threads=2).tobytes()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_workers_forked_ahead_and_replaced():
    """As web servers do: workers forked by a parent that has used the model, each replaced when it ends; and
    grandchildren forked by a worker that has used it too."""
    model, x = BIG.model(le.info()["isa"]), BIG.input()[:8]
    wanted = model.predict(x, threads=2).tobytes()

    def worker(generations: int) -> tuple[int, int]:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(read)
                good = model.predict(x, threads=2).tobytes() == wanted
                if generations > 1:
                    child, answered = worker(generations - 1)
                    good &= finish(child, answered)
                good &= model.predict(x, threads=2).tobytes() == wanted
                os.write(write, b"right" if good else b"wrong")
                code = 0
            finally:
                os._exit(code)
        os.close(write)
        return pid, read

    def finish(pid: int, read: int) -> bool:
        with os.fdopen(read, "rb") as file:
            said = file.read()
        return os.waitpid(pid, 0)[1] == 0 and said == b"right"

    started = [worker(1) for _ in range(4)]
    for _ in range(8):
        assert finish(*started.pop(0))
        started.append(worker(1))
    assert all(finish(*one) for one in started)
    assert finish(*worker(3))


def test_thread_pools_are_visible_and_limited():
    pytest.importorskip("threadpoolctl")
    if not le.info()["openmp"]:
        pytest.skip("built without OpenMP")
    out = python("""
        import os
        import threadpoolctl
        before = {pool["filepath"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "openmp"}
        import lstm_engine as le
        le.info()                                   # the core is loaded when it is first used
        pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "openmp"]
        print(len(before), len(pools), pools[-1]["internal_api"])
        least = le.info()["threads"]
        with threadpoolctl.threadpool_limits(1, user_api="openmp"):
            print(le.info()["threads"])
        print(le.info()["threads"] == least)
        """, LSTM_ENGINE_NUM_THREADS="", OMP_NUM_THREADS="")
    first, limited, again = out.split("\n")[:3]
    # NumPy brings no OpenMP of its own, so the one that is there after the import is the core's.
    assert first.split()[:2] == ["0", "1"] and first.split()[2] in ("openmp", "libomp", "libgomp")
    assert limited == "1" and again == "True"


def test_callers_that_share_the_threads_get_the_same_bits():
    """Each of many runs at once takes fewer threads, and says the same."""
    out = python("""
        import threading
        import numpy as np
        import lstm_engine as le
        rng = np.random.default_rng(0)
        model = le.Model([le.LSTM(rng.random((1, 1024, 64), "f4") - .5, (rng.random((1, 1024, 256), "f4") - .5) / 4)])
        x = rng.random((2, 30, 64), "f4")
        wanted = model.predict(x, threads=1)
        wrong = []
        def call():
            for _ in range(20):
                wrong.extend([1] * (not np.array_equal(model.predict(x, threads=4), wanted)))
        pool = [threading.Thread(target=call) for _ in range(8)]
        for thread in pool: thread.start()
        for thread in pool: thread.join()
        print(len(wrong))
        """)
    assert out.split() == ["0"]


def test_bits_beside_a_busy_process():
    """Runs that back off to fewer threads say the same."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        model, x = BIG.model(le.info()["isa"]), BIG.input()[:1]
        wanted = model.predict(x, threads=1)
        assert all(np.array_equal(model.predict(x, threads=2), wanted) for _ in range(30))
    finally:
        for process in busy:
            process.kill()
            process.wait()
