"""What a type checker tells a user of the package: mypy on a small program, line by line."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lstm_engine

pytest.importorskip("mypy", reason="mypy is not installed: pip install 'lstm-engine[test]'")

# Each line with what mypy says of it: the type that it reveals, or the code of its error.
PROGRAM = '''
import numpy as np
import lstm_engine as le
from lstm_engine.types import Arrays, Gemm, Listed, Outputs, States

x, ids, quick = np.zeros((2, 3, 4)), [[1, 2, 3], [4]], bool(input())
model = le.load("model.lstm")
reveal_type(model)                                          # Model
reveal_type(model.predict(x))                               # Array
reveal_type(model(x, batch_size=1, nan="mask"))             # Array
reveal_type(model.predict(x, lengths=[3, 1]))               # Array
reveal_type(model.predict(ids))                             # Listed
reveal_type(model.predict({"a": x, "b": x}))                # Arrays
reveal_type(model.predict((x, x)))                          # Outputs
reveal_type(model.predict({"a": x, "b": ids}))              # Outputs
reveal_type(model.predict(x, return_state=True))            # tuple[Array, States]
reveal_type(model.predict(ids, return_state=True))          # tuple[Listed, States]
y, state = model.predict(x, initial_state={}, return_state=True)
reveal_type(y)                                              # Array
reveal_type(y.shape[0])                                     # int
reveal_type(state["lstm"]["h"])                             # Array
answer = model.predict({"x": x})
assert isinstance(answer, dict)
reveal_type(answer["mean"])                                 # Array
model.predict(x, nan="maks")                                # call-overload
model.predict(x, batchsize=3)                               # call-overload
model.predict(3)                                            # call-overload
reveal_type(model.outputs["y"].shape)                       # tuple[int | str, ...]

with model.stream(batch=2) as stream:
    reveal_type(stream)                                     # Stream
    reveal_type(stream.step(x[:, 0]))                       # Array
    reveal_type(stream.step([1, 2]))                        # Array
    reveal_type(stream.step({"a": x}))                      # Arrays
    reveal_type(stream.run(x))                              # Array
    reveal_type(stream.run({"a": x}))                       # Arrays

reveal_type(le.ops.lstm(x, x, x))                           # tuple[Array, Array, Array]
reveal_type(le.ops.gru(x, x, x, layout=1))                  # tuple[Array, Array]
le.ops.rnn(x, x, x, layout=2)                               # arg-type
le.ops.rnn(x, x, x, direction="backward")                   # arg-type
reveal_type(le.pad_sequences(ids, side="right"))            # Array
le.pad_sequences(ids, side="pre")                           # arg-type

le.load("model.lstm", gemm="blas", dtype="float64")
le.load("model.lstm", gemm="mkl")                           # arg-type
le.load("model.lstm", dtype="int8")                         # arg-type
le.convert("model.pt", pool="state", activations={"fc": "relu"})
le.convert("model.pt", pool="sum")                          # arg-type
made = le.Model([le.Embedding(x), le.LSTM(x, x, direction="reverse"), le.Pool("mean"), le.Dense(x)])
le.Pool("median")                                           # arg-type
le.LSTM(x, x, direction="left")                             # arg-type
le.Modle                                                    # attr-defined


def positive(outputs: Outputs, steps: Arrays, states: States, gemm: Gemm) -> Listed:
    if isinstance(outputs, dict):
        reveal_type(outputs["y"])                           # Listed
        return outputs["y"]
    return outputs
'''
# How mypy writes out what has a name in lstm_engine.types.
NAMES = {"ndarray[tuple[int, ...], dtype[Any]]": "Array",
         "Array | dict[str, Array] | list[Array] | dict[str, Array | list[Array]]": "Outputs",
         "Array | dict[str, Array]": "Arrays", "Array | list[Array]": "Listed", "dict[str, dict[str, Array]]": "States"}
CASES = [(number, *map(str.strip, line.split("  # "))) for number, line in enumerate(PROGRAM.split("\n"), 1)
         if "  # " in line]


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What mypy says of each line of the program."""
    folder = tmp_path_factory.mktemp("types")
    (folder / "program.py").write_text(PROGRAM)
    home = Path(lstm_engine.__file__).resolve().parents[1]
    # Beside the source tree it is told where that is; an installed package it finds by itself, by py.typed alone.
    environment = dict(os.environ) if home.name == "site-packages" else {**os.environ, "MYPYPATH": str(home)}
    run = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent",
                          "--hide-error-context", f"--cache-dir={folder / 'cache'}", "program.py"],
                         cwd=folder, env=environment, capture_output=True, text=True)
    assert run.returncode == 1, run.stdout + run.stderr         # it holds errors; 2 is an error of mypy's own
    lines: dict[int, list[str]] = {}
    for number, kind, text in re.findall(r"^program\.py:(\d+): (error|note): (.*)$", run.stdout, re.MULTILINE):
        if kind == "error":
            lines.setdefault(int(number), []).append(text[text.rindex("[") + 1:-1])
        elif shown := re.fullmatch(r'Revealed type is "(.*)"', text):
            plain = re.sub(r"\b(?:builtins|numpy|lstm_engine(?:\.\w+)*)\.", "", shown[1])
            for written, name in NAMES.items():
                plain = plain.replace(written, name)
            lines.setdefault(int(number), []).append(plain)
    return lines


@pytest.mark.parametrize("number, line, expected", CASES, ids=[line for _, line, _ in CASES])
def test_what_mypy_says(said, number, line, expected):
    assert set(said.get(number, [])) == {expected}


def test_mypy_has_nothing_else_to_say(said):
    assert set(said) == {number for number, _, _ in CASES}
