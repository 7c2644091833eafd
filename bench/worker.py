"""One engine in a process of its own: `python -m bench.worker ENGINE`, spoken to through Worker.

Messages are pickles over stdin and stdout between this project's own processes. While a worker waits for its
next message its thread pools fall asleep, so engines do not disturb each other.
"""

from __future__ import annotations

import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path
from time import perf_counter_ns
from typing import Any, BinaryIO

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


class WorkerDied(RuntimeError):
    """The process of an engine ended."""


class Worker:
    """The near end: starts the process and asks it. `version` is the engine's."""

    def __init__(self, engine: str, threads: int, environment: dict[str, str] | None = None) -> None:
        self.engine = engine
        # What a test run sets for its own sake must not hold an engine down; pools are as large as asked for.
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "MKL_", "OPENBLAS_", "KMP_"))
        }
        kept |= {"OMP_NUM_THREADS": str(threads), "LSTM_ENGINE_NUM_THREADS": str(threads)} | (
            environment or {}
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", engine],
            cwd=ROOT,
            env=kept,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.version: str = self.ask("version")

    def ask(self, request: str, *arguments: Any) -> Any:
        """The answer. Raises NotSupported or EngineFailed as the engine does, WorkerDied if it is gone."""
        assert self._process.stdin and self._process.stdout
        try:
            pickle.dump((request, arguments), self._process.stdin, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()
            good, answer = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError) as error:
            raise WorkerDied(
                f"the process of {self.engine} ended with code {self._process.wait()} at {request} "
                f"{arguments}"
            ) from error
        if not good:
            raise answer
        return answer

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass
        self._process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Far:
    """The far end: prepared variants by (cell, threads, dtype, variant)."""

    def __init__(self, engine: str) -> None:
        from .engines import create

        self.engine = create(engine)
        self.variants: dict[tuple, Any] = {}

    def version(self) -> str:
        return self.engine.version

    def prepare(self, name: str, threads: int, dtype: str) -> dict[str, dict[str, np.ndarray]]:
        """Build the variants of a cell; their outputs by variant and output name."""
        from .cells import catalogue

        cell = catalogue()[name]
        self.engine.use_threads(threads)
        variants = self.engine.build(cell, cell.case(), threads, dtype)
        self.variants |= {(name, threads, dtype, variant.name): variant for variant in variants}
        return {variant.name: variant.outputs() for variant in variants}

    def outputs(self, name: str, threads: int, dtype: str) -> dict[str, np.ndarray]:
        """What a cell gives, built for this alone."""
        from .cells import catalogue

        cell = catalogue()[name]
        self.engine.use_threads(threads)
        return self.engine.build(cell, cell.case(), threads, dtype)[0].outputs()

    def time(self, name: str, threads: int, dtype: str, variant: str, seconds: float) -> list[float]:
        from .timing import time_calls

        self.engine.use_threads(threads)
        return time_calls(self.variants[name, threads, dtype, variant].call, seconds)

    def single(self, name: str, threads: int, dtype: str, variant: str, count: int) -> list[float]:
        from .timing import single_calls

        self.engine.use_threads(threads)
        return single_calls(self.variants[name, threads, dtype, variant].call, count)

    def store(self, name: str, path: str) -> str:
        from .cells import catalogue

        return self.engine.store(catalogue()[name].case(), path)

    def footprint(self, name: str, path: str, threads: int) -> tuple[float, int, dict[str, np.ndarray]]:
        """ms of loading a stored model, bytes that loading and one run added, the run's outputs."""
        from .cells import catalogue

        data = catalogue()[name].case()
        self.engine.use_threads(threads)
        before, start = _resident(), perf_counter_ns()
        model = self.engine.load(path, threads)
        took = (perf_counter_ns() - start) / 1e6
        outputs = model(data)
        return took, _resident() - before, outputs


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def serve(engine: str, requests: BinaryIO, answers: BinaryIO) -> None:
    from .engines import EngineFailed, NotSupported

    far = _Far(engine)
    while True:
        try:
            request, arguments = pickle.load(requests)
        except EOFError:
            return
        try:
            answer = True, getattr(far, request)(*arguments)
        except NotSupported as error:
            answer = False, error
        except Exception as error:  # whatever an engine raises is a finding, not the end of the run
            answer = False, EngineFailed(f"{type(error).__name__}: {error}")
        pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()


def main() -> None:
    # Libraries print where they like; answers go to the real stdout, everything else to stderr.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.argv[1], sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
