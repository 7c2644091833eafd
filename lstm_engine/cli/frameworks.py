"""Runs a checkpoint in the framework that it came from, in a process of its own, and times it there."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError, LstmEngineError

KINDS = {".keras": "keras", ".h5": "keras", ".hdf5": "keras", ".onnx": "onnxruntime", ".pt2": "torch"}
NAMES = ("keras", "onnxruntime", "torch")
_PROGRAM = Path(__file__).with_name("framework_child.py")
_BOOTSTRAP = """
import json, runpy, sys
with open(sys.argv[1], encoding="utf-8") as file:
    request = json.load(file)
sys.path[:] = request["sys_path"]
runpy.run_path(request["program"])["main"](request)
"""


@dataclass(frozen=True)
class Answer:
    """What a framework made of one set of inputs: outputs in its own order, and the median seconds of a run."""

    names: list[str]
    outputs: list[np.ndarray]
    seconds: float | None


def framework_of(source: Path) -> str | None:
    """The framework that can run a file as it is; None for files of weights alone."""
    return KINDS.get(source.suffix.lower())


def installed(framework: str) -> bool:
    """Whether a framework can be imported, told without importing it; keras needs a backend too."""
    if framework == "keras":
        return importlib.util.find_spec("keras") is not None and _keras_backend() is not None
    return importlib.util.find_spec(framework) is not None


def _keras_backend() -> str | None:
    """KERAS_BACKEND, else the first backend that is installed."""
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"]
    return next((name for name in ("tensorflow", "torch", "jax") if importlib.util.find_spec(name)), None)


def fixed_inputs(spec: Path | None) -> dict[str, np.ndarray]:
    """The inputs to which a spec of an ONNX model gives a value: the converted model has them no more, the file has."""
    if spec is None:
        return {}
    from ..importers.arrays.spec import load_spec

    fixed = load_spec(spec).get("fixed", {})
    return {name: np.asarray(value) for name, value in fixed.items()} if isinstance(fixed, Mapping) else {}


def run(framework: str, source: Path, cases: Sequence[Mapping[str, np.ndarray]], *, spec: Path | None = None,
        threads: int | None = None, seconds: float = 0.0) -> tuple[str, list[Answer]]:
    """The framework's name with its version, and its answer to each case (arrays by input name).

    spec: with which the source was converted. threads: the framework's own; None: its default. seconds: time each
    case for about this long; 0: do not. Raises LstmEngineError with the framework's own message if it fails.
    """
    fixed = fixed_inputs(spec)
    cases = [{**case, **fixed} for case in cases]
    with tempfile.TemporaryDirectory(prefix="lstm-engine-") as folder:
        files = {name: str(Path(folder, name)) for name in ("request.json", "inputs.npz", "outputs.npz", "answer.json")}
        arrays: dict[str, Any] = {f"{number}.{place}": array for number, case in enumerate(cases)
                                  for place, array in enumerate(case.values())}
        np.savez(files["inputs.npz"], **arrays)
        request = {
            "sys_path": [os.path.abspath(entry) for entry in sys.path], "program": str(_PROGRAM),
            "framework": framework, "source": os.path.abspath(source), "threads": threads, "seconds": seconds,
            "names": [list(case) for case in cases], **files,
        }
        Path(files["request.json"]).write_text(json.dumps(request), encoding="utf-8")
        environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3")
        if framework == "keras":
            environment["KERAS_BACKEND"] = _keras_backend() or ""
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        ended = subprocess.run([sys.executable, "-c", _BOOTSTRAP, files["request.json"]], env=environment,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        return _answers(framework, source, ended, files)


def _answers(framework: str, source: Path, ended: subprocess.CompletedProcess[bytes],
             files: Mapping[str, str]) -> tuple[str, list[Answer]]:
    if not os.path.exists(files["answer.json"]):
        last = ended.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise LstmEngineError(f"{framework} could not run {source}: it ended with code {ended.returncode}: {last}")
    answer = json.loads(Path(files["answer.json"]).read_text(encoding="utf-8"))
    if "error" in answer:
        raise LstmEngineError(f"{framework} could not run {source}: {answer['error']}")
    with np.load(files["outputs.npz"], allow_pickle=False) as arrays:
        answers = [Answer(names, [arrays[f"{number}.{place}"] for place in range(len(names))], median)
                   for number, (names, median) in enumerate(zip(answer["names"], answer["seconds"], strict=True))]
    return answer["version"], answers


def by_our_names(ours: Sequence[str], answer: Answer, framework: str) -> dict[str, np.ndarray]:
    """A framework's outputs under our names: by name where the names are the same, else by place."""
    if set(ours) == set(answer.names):
        return {name: answer.outputs[answer.names.index(name)] for name in ours}
    if len(ours) != len(answer.names):
        raise FormatError(f"{framework} gives {len(answer.names)} outputs ({', '.join(answer.names)}), the model "
                          f"{len(ours)} ({', '.join(ours)})")
    return dict(zip(ours, answer.outputs, strict=True))
