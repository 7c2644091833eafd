"""The two teams of threads, and a system that grants fewer than asked for.

Each case is a process of its own: the team is chosen when the library is loaded, and limits cannot be taken back.
"""

import os
import subprocess
import sys
import textwrap

import pytest
from children import HANG

from lstm_engine import _core

TEAMS = _core.threadings()
# Enough work for several threads (csrc/model/schedule.c keeps less on one): rows partitioned, then units.
COMMON = """
    import os, resource, sys, threading
    import numpy as np
    import lstm_engine as le

    def weight(*shape):
        return np.random.default_rng(len(shape)).standard_normal(shape).astype("f4") * 0.1

    model = le.Model([le.LSTM(weight(1, 512, 64), weight(1, 512, 128))])
    inputs = [weight(32, 40, 64), weight(1, 40, 64)]
    alone = [model.predict(x, threads=1).tobytes() for x in inputs]

    def same():
        return all(model.predict(x, threads=3).tobytes() == y for x, y in zip(inputs, alone) for _ in range(5))

    def tasks():
        return len(os.listdir("/proc/self/task"))
"""


def run(code: str, **environment: str) -> list[str]:
    program = textwrap.dedent(COMMON) + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=HANG,
                          env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("team", TEAMS)
def test_either_team_gives_the_same_bits(team):
    assert run("print(le.info()['threading'], same())", LSTM_ENGINE_THREADING=team) == [team, "True"]


def test_an_unknown_team_is_an_error_of_the_call():
    done = subprocess.run([sys.executable, "-c", "import lstm_engine as le; le.info()"], capture_output=True, text=True,
                          timeout=HANG, env={**os.environ, "LSTM_ENGINE_THREADING": "tbb"})
    assert "LSTM_ENGINE_THREADING" in done.stderr and ", ".join(TEAMS) in done.stderr


@pytest.mark.unchecked("the reference needs memory of its own")
@pytest.mark.skipif(sys.platform != "linux", reason="/proc and limits as Linux has them")
@pytest.mark.parametrize("limit", ["memory", "processes"])
def test_threads_that_cannot_start_leave_their_work_to_the_caller(limit):
    """An address space too small for a thread's stack; a user who may have no more threads."""
    if limit == "processes" and os.geteuid() != 0:
        pytest.skip("the user of this process has other threads, whose number is not known")
    assert run(f"""
        import io, time
        before = tasks()
        if {limit == "memory"}:
            used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.setrlimit(resource.RLIMIT_AS, (used + (6 << 20),) * 2)     # a stack is 8 MB
        else:
            os.setresuid(54321, 54321, 54321)
            resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
        try:
            threading.Thread(target=int).start()
            print("started")
        except RuntimeError:
            print("refused")
        print(same(), tasks() - before)""", LSTM_ENGINE_THREADING="native") == ["refused", "True", "0"]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc as Linux has it")
def test_set_num_threads_reaches_streams_that_exist():
    """Seen by the threads that a call starts, in a process that has started none."""
    assert run("""
        le.set_num_threads(1)                   # also of the model's making
        wide = le.Model([le.LSTM(weight(1, 8192, 64), weight(1, 8192, 2048))])
        stream, x = wide.stream(batch=8), weight(8, 64)
        y = wide.predict(x[:, None], threads=1)[:, 0]
        before = tasks()
        same = np.array_equal(stream.step(x), y)
        single = tasks() - before
        le.set_num_threads(3)
        stream.reset()
        same &= np.array_equal(stream.step(x), y)
        print(same, single, tasks() - before)""", LSTM_ENGINE_THREADING="native") == ["True", "0", "2"]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc as Linux has it")
def test_a_child_of_fork_starts_threads_of_its_own():
    assert run("""
        import warnings
        warnings.simplefilter("ignore")         # Python 3.12 warns of what is tested here
        first, before = same(), tasks()
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            left = tasks()
            os.write(write, b"%d %d" % (left, same() and tasks() > left))
            os._exit(0)
        os.waitpid(pid, 0)
        print(first, before > 1, os.read(read, 99).decode())""", LSTM_ENGINE_THREADING="native") == [
            "True", "True", "1", "1"]
