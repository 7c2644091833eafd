"""What threads cost when nobody, or everybody, needs the cores, and whether a fork is safe.

    python -m bench.threads [--threads N] [--seconds S] [--children N] [--json FILE]

Prints each figure beside its limit and exits 1 if one is missed:
- CPU seconds that idle threads burn in the second after a call;
- throughput of two processes at once, and of 8 Python threads on one model, against one alone;
- throughput of as many Python threads as cores, each call on one thread, against one alone;
- children that answer right after the parent's threads have run, by way of starting them.
Each measurement is made in fresh processes, one after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

# Two ways of partitioning work: hidden units where rows are few, rows where they are many.
CASES = {"units": (1, 256, 50), "rows": (32, 128, 50)}

COMMON = """
    import os, sys, threading, time
    import numpy as np
    import lstm_engine as le

    def make(batch, hidden, steps):
        rng = np.random.default_rng(0)
        def weight(*shape):
            return rng.standard_normal(shape).astype("f4") * 0.1
        model = le.Model([le.LSTM(weight(1, 4 * hidden, hidden), weight(1, 4 * hidden, hidden))])
        return model, weight(batch, steps, hidden)

    def rate(model, x, threads, seconds, callers):
        "Calls a second of `callers` Python threads together."
        wanted = model.predict(x, threads=1)
        counts = [0] * callers
        begin, end = time.perf_counter() + 0.05, time.perf_counter() + 0.05 + seconds
        def call(number):
            while (now := time.perf_counter()) < end:
                same = np.array_equal(model.predict(x, threads=threads), wanted)
                assert same
                counts[number] += now >= begin
        pool = [threading.Thread(target=call, args=(number,)) for number in range(callers)]
        for thread in pool: thread.start()
        for thread in pool: thread.join()
        return sum(counts) / seconds
"""

IDLE = """
    model, x = make(*CASE)
    for _ in range(20):
        model.predict(x, threads=THREADS)
    before = time.process_time()
    time.sleep(1)
    print(time.process_time() - before)
"""

RATE = """
    model, x = make(*CASE)
    model.predict(x, threads=THREADS)
    print("ready", flush=True)
    sys.stdin.readline()
    print(rate(model, x, THREADS, SECONDS, CALLERS))
"""

CHILDREN = """
    import multiprocessing

    def answer(connection, model, x):
        connection.send_bytes(model.predict(x, threads=THREADS).tobytes())

    def prefork(model, x, wanted, children):
        "Workers forked by a parent that has loaded and used the model; one that ends is replaced by a new one."
        right = 0
        for _ in range(children):
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(read)
                with os.fdopen(write, "wb") as file:
                    file.write(model.predict(x, threads=THREADS).tobytes())
                os._exit(0)
            os.close(write)
            with os.fdopen(read, "rb") as file:
                right += file.read() == wanted
            os.waitpid(child, 0)
            model.predict(x, threads=THREADS)
        return right

    if __name__ == "__main__":
        model, x = make(*CASE)
        for _ in range(5):
            wanted = model.predict(x, threads=THREADS).tobytes()
        right = 0
        if METHOD == "prefork":
            right = prefork(model, x, wanted, COUNT)
        else:
            context = multiprocessing.get_context(METHOD)
            if METHOD == "forkserver":
                context.set_forkserver_preload(["lstm_engine"])
            for _ in range(COUNT):
                here, there = context.Pipe(duplex=False)
                child = context.Process(target=answer, args=(there, model, x))
                child.start()
                there.close()
                right += here.poll(60) and here.recv_bytes() == wanted
                child.join(60)
                if child.exitcode != 0:
                    child.kill()
                here.close()
        print(right)
"""


def program(code: str, **names: Any) -> str:
    """A script: what all have in common, the names, then its own code."""
    lines = "".join(f"{name} = {value!r}\n" for name, value in names.items())
    return textwrap.dedent(COMMON) + lines + textwrap.dedent(code)


def run(script: str) -> float:
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, input="\n")
    return float(done.stdout.split()[-1])


def at_once(scripts: Sequence[str]) -> float:
    """The sum of what scripts print that start together, once all are ready."""
    running = [
        subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for script in scripts
    ]
    for process in running:
        assert process.stdout and process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    total = sum(float(process.communicate()[0]) for process in running)
    assert not any(process.returncode for process in running)
    return total


def run_file(script: str) -> float:
    """Run a script from a file, as ways of starting children that import the main module need it."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "children.py")
        path.write_text(script)
        done = subprocess.run([sys.executable, str(path)], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def idle(threads: int) -> list[dict[str, Any]]:
    return [{"what": f"idle CPU seconds, {case}", "value": run(program(IDLE, CASE=shape, THREADS=threads)),
             "limit": 0.02, "at_most": True} for case, shape in CASES.items()]


def sharing(threads: int, seconds: float) -> list[dict[str, Any]]:
    rows = []
    for case, shape in CASES.items():
        names = {"CASE": shape, "THREADS": threads, "SECONDS": seconds}
        one = program(RATE, CALLERS=1, **names)
        alone = at_once([one])
        rows.append({"what": f"two processes of {threads} threads, {case}", "value": at_once([one, one]) / alone,
                     "limit": 0.8})
        rows.append({"what": f"8 callers of {threads} threads, {case}",
                     "value": at_once([program(RATE, CALLERS=8, **names)]) / alone, "limit": 0.8})
    names = {"CASE": CASES["rows"], "THREADS": 1, "SECONDS": seconds}
    alone = at_once([program(RATE, CALLERS=1, **names)])
    both = at_once([program(RATE, CALLERS=threads, **names)])
    # Cores that are hardware threads of one share its arithmetic: the limit asks for less than the whole.
    rows.append({"what": f"{threads} callers of one thread", "value": both / alone, "limit": 0.75 * threads})
    return rows


def children(threads: int, count: int) -> list[dict[str, Any]]:
    import multiprocessing

    methods = [*multiprocessing.get_all_start_methods(), *(["prefork"] if hasattr(os, "fork") else [])]
    names = {"CASE": CASES["units"], "THREADS": threads, "COUNT": count}
    return [{"what": f"children that answer, {method}", "value": run_file(program(CHILDREN, METHOD=method, **names)),
             "limit": count} for method in methods]


def kept(row: dict[str, Any]) -> bool:
    return row["value"] <= row["limit"] if row.get("at_most") else row["value"] >= row["limit"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.threads", description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=2, help="threads of a call (default: 2)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measurement (default: 2)")
    parser.add_argument("--children", type=int, default=100, help="children of each kind (default: 100)")
    parser.add_argument("--json", help="write the figures to this file")
    options = parser.parse_args(arguments)
    rows = [*idle(options.threads), *sharing(options.threads, options.seconds),
            *(children(options.threads, options.children) if options.children else [])]
    for row in rows:
        sign = "<=" if row.get("at_most") else ">="
        print(f"{row['what']:45s} {row['value']:8.3f}   {sign} {row['limit']:g}   {'ok' if kept(row) else 'MISSED'}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
    return 0 if all(map(kept, rows)) else 1


if __name__ == "__main__":
    sys.exit(main())
