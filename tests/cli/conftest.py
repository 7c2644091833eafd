"""Small models as files, and two ways to run the program: here, and as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import lstm_engine as le
from lstm_engine import graph as g
from lstm_engine.cli.main import main

ROOT = Path(le.__file__).resolve().parents[1]
DEMO_DATA = Path(le.__file__).resolve().parent / "demo_data"


@dataclass
class Ended:
    """How a run of the program ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys):
    """Run the program in this process: cli("info", "--json") -> Ended."""
    def run(*argv: object) -> Ended:
        capsys.readouterr()
        code = main([str(argument) for argument in argv])
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return run


def start(*argv: object, env: dict[str, str] | None = None, **options) -> subprocess.Popen:
    """The program as a process, its streams as pipes unless said otherwise."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, **(env or {})}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen([sys.executable, "-m", "lstm_engine", *map(str, argv)], env=environment, **pipes)


@pytest.fixture
def start_program():
    """Start the program as a process with pipes for its streams, and leave it running."""
    return start


@pytest.fixture
def program():
    """Run the program as a process: program("info", env={...}) -> Ended."""
    def run(*argv: object, env: dict[str, str] | None = None, stdin: bytes = b"") -> Ended:
        process = start(*argv, env=env, stdin=subprocess.PIPE)
        out, err = process.communicate(stdin)
        return Ended(process.returncode, out.decode(), err.decode())

    return run


def weights(*shape: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype(np.float32)


def ids_model() -> le.Model:
    """Token ids [batch, time] below 7 -> probabilities [batch, time, 2]."""
    return le.Model([le.Embedding(weights(7, 3, seed=1)),
                     le.LSTM(weights(1, 16, 3, seed=2), weights(1, 16, 4, seed=3), weights(1, 32, seed=4)),
                     le.Dense(weights(4, 2, seed=5), weights(2, seed=6), activation="softmax")])


def numbers_model() -> le.Model:
    """Numbers [batch, time, 2] -> a vector [batch, 1]."""
    return le.Model([le.LSTM(weights(1, 16, 2, seed=2), weights(1, 16, 4, seed=3), weights(1, 32, seed=4),
                             return_sequences=False), le.Dense(weights(4, 1, seed=5))])


def two_inputs_model() -> le.Model:
    """x [batch, time, 2] and an initial state h0 [batch, 4] -> y [batch, time, 4] and its last state h [batch, 4]."""
    node = g.LSTM(name="lstm", inputs=("x", "", "h0", "h0"), outputs=("y", "h"), W=weights(1, 16, 2, seed=2),
                  R=weights(1, 16, 4, seed=3))
    return le.Model(g.Graph((g.Value("x", ("batch", "time", 2)), g.Value("h0", ("batch", 4))), (node,), ("y", "h")))


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """A folder with ids.lstm, numbers.lstm and two.lstm."""
    folder = tmp_path_factory.mktemp("models")
    ids_model().save(folder / "ids.lstm")
    numbers_model().save(folder / "numbers.lstm")
    two_inputs_model().save(folder / "two.lstm")
    return folder


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """A PyTorch checkpoint that needs no optional package to be read: the demo's forecaster."""
    path = tmp_path / "forecast.pt"
    path.write_bytes((DEMO_DATA / "forecast.pt").read_bytes())
    return path
