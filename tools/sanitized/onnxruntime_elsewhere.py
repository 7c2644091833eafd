"""Stands in for `onnxruntime` in a process under a sanitizer: a plain process beside it has the library and answers.

The library itself, some 20 MB of C++ that nobody instrumented, would make such a process slow and its reports doubtful.
Of its face there is what the tests use. Run as a program, this file is that other process: it reads pickled requests
from standard input and writes pickled answers; both sides are the tests' own.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from types import SimpleNamespace
from typing import Any, BinaryIO

# What makes a process one under a sanitizer.
PRELOADED = ("LD_PRELOAD", "PYTHONMALLOC", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")


class GraphOptimizationLevel:
    ORT_DISABLE_ALL, ORT_ENABLE_BASIC, ORT_ENABLE_EXTENDED, ORT_ENABLE_ALL = (
        "ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL")


class SessionOptions(SimpleNamespace):
    """Takes every attribute; the other process sets those of its own options."""


class InferenceSession:
    """A session of the other process. Raises RuntimeError with ONNX Runtime's words where it raises."""

    def __init__(self, model: bytes, sess_options: SessionOptions | None = None, providers: Any = None) -> None:
        options = vars(sess_options or SessionOptions())
        self._number, self._inputs, self._outputs = _ask("open", model, options, providers)

    def get_inputs(self) -> list[SimpleNamespace]:
        return self._inputs

    def get_outputs(self) -> list[SimpleNamespace]:
        return self._outputs

    def run(self, names: list[str] | None, feeds: dict[str, Any]) -> list[Any]:
        return _ask("run", self._number, names, feeds)

    def __del__(self) -> None:
        if hasattr(self, "_number") and _ask is not None:
            _ask("close", self._number)


_other: tuple[int, subprocess.Popen] | None = None         # with the process that started it: a fork must not share it


def _ask(what: str, *arguments: Any) -> Any:
    global _other
    if _other is None or _other[0] != os.getpid():
        if what == "close":
            return None
        environment = {name: value for name, value in os.environ.items() if name not in PRELOADED}
        _other = os.getpid(), subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE,
                                               stdout=subprocess.PIPE, env=environment)
    process = _other[1]
    assert process.stdin is not None and process.stdout is not None
    pickle.dump((what, arguments), process.stdin)
    process.stdin.flush()
    fine, answer = pickle.load(process.stdout)
    if not fine:
        raise RuntimeError(answer)
    return answer


class _Sessions:
    """The other process' side of `_ask`."""

    def __init__(self) -> None:
        self.open_ones: dict[int, Any] = {}
        self.opened = 0

    def open(self, model: bytes, options: dict[str, Any], providers: Any) -> tuple[int, list, list]:
        import onnxruntime

        made = onnxruntime.SessionOptions()
        for name, value in options.items():
            if name == "graph_optimization_level":
                value = getattr(onnxruntime.GraphOptimizationLevel, value)
            setattr(made, name, value)
        session = onnxruntime.InferenceSession(model, made, providers=providers or ["CPUExecutionProvider"])
        self.opened += 1
        self.open_ones[self.opened] = session
        sides = [[SimpleNamespace(name=value.name, shape=value.shape, type=value.type) for value in side]
                 for side in (session.get_inputs(), session.get_outputs())]
        return self.opened, *sides

    def run(self, number: int, names: list[str] | None, feeds: dict[str, Any]) -> list[Any]:
        return self.open_ones[number].run(names, feeds)

    def close(self, number: int) -> None:
        del self.open_ones[number]


def _answer(requests: BinaryIO, answers: BinaryIO) -> None:
    sessions = _Sessions()
    while True:
        try:
            what, arguments = pickle.load(requests)
        except EOFError:
            return
        try:
            answer = True, getattr(sessions, what)(*arguments)
        except Exception as error:
            answer = False, f"{type(error).__name__}: {error}"
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    # The folder of this file holds nothing that the library may import by mistake.
    sys.path[:] = [entry for entry in sys.path if entry != os.path.dirname(os.path.abspath(__file__))]
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)                                          # the library may print
    _answer(sys.stdin.buffer, own)
