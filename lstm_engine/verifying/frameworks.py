"""Runs a checkpoint in the framework that it came from, in a process of its own, and times it there."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileError, FormatError, LstmEngineError
from ..files import HEAD_BYTES, first_bytes

KINDS = {".keras": "keras", ".h5": "keras", ".hdf5": "keras", ".onnx": "onnxruntime", ".pt2": "torch"}
_RUNS = {"keras": "keras", "onnx": "onnxruntime"}               # by the importer that knows how a file begins
NAMES = ("keras", "onnxruntime", "torch")                       # those that can be timed
_PACKAGES = {"torchscript": "torch"}
_MOST_NUDGES = 8
_PROGRAM = Path(__file__).parent / "framework_child" / "__init__.py"
_BOOTSTRAP = """
import importlib.util, json, os, sys
with open(sys.argv[1], encoding="utf-8") as file:
    request = json.load(file)
sys.path[:] = request["sys_path"]
spec = importlib.util.spec_from_file_location("framework_child", request["program"],
                                              submodule_search_locations=[os.path.dirname(request["program"])])
sys.modules["framework_child"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.main(request)
"""


@dataclass(frozen=True)
class Answer:
    """What a framework made of one set of inputs: outputs in its own order, and the median seconds of a run.

    nudged: the outputs again, per run with all weights and inputs moved by one unit in the last place.
    exact: the outputs in float64, or None. error: why it gave none; skipped: another of the same slot ran.
    """

    names: list[str]
    outputs: list[np.ndarray]
    seconds: float | None = None
    nudged: list[list[np.ndarray]] = field(default_factory=list)
    exact: list[np.ndarray] | None = None
    error: str | None = None
    skipped: bool = False


@dataclass(frozen=True)
class Answers:
    """A framework's answers, case by case. version: its name with its version. wanted: its own inputs (name, shape with
    None for a free size, dtype), where it tells. weights_only: why there was no program to run."""

    version: str
    cases: list[Answer]
    wanted: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    weights_only: str | None = None


def framework_of(source: Path) -> str | None:
    """The framework that can run a file as it is; None for files of weights alone, for JSON and for ours.

    Told as `convert` tells what a file is: by how it begins, then by its name. What torch runs has its name alone.
    """
    from ..importers import knows

    head = head_of(source)
    if is_own(source) or is_json(head):
        return None
    known, by_name = knows(head), KINDS.get(source.suffix.lower())
    if known is None:
        return by_name
    return _RUNS.get(known.name) or (by_name if by_name == known.name else None)


def head_of(source: Path) -> bytes:
    """How a file begins; b"" for one that cannot be read, which is said where it is imported."""
    try:
        return first_bytes(source, HEAD_BYTES)
    except FileError:
        return b""


def is_own(source: Path) -> bool:
    """Whether a file is a `*.lstm` file by how it begins, or is called so and is none of another kind."""
    from ..format.header import begins_so
    from ..importers import knows

    head = head_of(source)
    return begins_so(head) or source.suffix.lower() == ".lstm" and knows(head) is None


def is_json(head: bytes) -> bool:
    """Whether a file that begins so is JSON: it can say what a model is and hold its weights, and not be run."""
    return head.lstrip().startswith(b"{")


def installed(framework: str) -> bool:
    """Whether a framework can be imported, told without importing it; keras needs a backend too."""
    if framework == "keras":
        return importlib.util.find_spec("keras") is not None and _keras_backend() is not None
    return importlib.util.find_spec(_PACKAGES.get(framework, framework)) is not None


def _keras_backend() -> str | None:
    """KERAS_BACKEND, else the first backend that is installed."""
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"]
    return next((name for name in ("tensorflow", "torch", "jax") if importlib.util.find_spec(name)), None)


def fixed_inputs(spec: Any) -> dict[str, np.ndarray]:
    """The inputs to which a spec of an ONNX model gives a value: the converted model has them no more, the file has."""
    if spec is None:
        return {}
    from ..importers.reading.spec_file import load_spec

    fixed = load_spec(spec).get("fixed", {})
    return {name: np.asarray(value) for name, value in fixed.items()} if isinstance(fixed, Mapping) else {}


def run(framework: str, source: Path, cases: Sequence[Mapping[str, np.ndarray]], *, spec: Any = None,
        threads: int | None = None, seconds: float = 0.0) -> tuple[str, list[Answer]]:
    """The framework's name with its version, and its answer to each case (arrays by input name).

    spec: with which the source was converted. threads: the framework's own; None: its default. seconds: time each
    case for about this long; 0: do not. Raises LstmEngineError with the framework's own message if it fails.
    """
    answers = run_slots(framework, source, [[case] for case in cases], spec=spec, threads=threads, seconds=seconds)
    failed = answers.weights_only or next((answer.error for answer in answers.cases if answer.error), None)
    if failed:
        raise LstmEngineError(f"{framework} could not run {source}: {failed}")
    return answers.version, answers.cases


def run_slots(framework: str, source: Path, slots: Sequence[Sequence[Mapping[str, np.ndarray]]], *, spec: Any = None,
              threads: int | None = None, seconds: float = 0.0, nudges: int = 0, exact: bool = False,
              optional: Collection[int] = ()) -> Answers:
    """The answers of a framework; of the cases of a slot, the first that it takes is run.

    nudges: how often to run again with weights and inputs moved by one unit in the last place. exact: also run in
    float64, where the framework can. optional: slots that may end the framework's process: run last, skipped if they
    do. A case that it refuses has its message as `error`. Raises LstmEngineError with the
    framework's own message if it cannot open the source.
    """
    fixed = fixed_inputs(spec)
    cases = [{**case, **fixed} for slot in slots for case in slot]
    with tempfile.TemporaryDirectory(prefix="lstm-engine-") as folder:
        files = {name: str(Path(folder, name)) for name in ("request.json", "inputs.npz", "outputs.npz", "answer.json")}
        arrays: dict[str, Any] = {f"{number}.{place}": array for number, case in enumerate(cases)
                                  for place, array in enumerate(case.values())}
        np.savez(files["inputs.npz"], **arrays)
        request = {
            "sys_path": [os.path.abspath(entry) for entry in sys.path], "program": str(_PROGRAM),
            "framework": framework, "source": os.path.abspath(source), "threads": threads, "seconds": seconds,
            "names": [list(case) for case in cases], "nudges": nudges, "exact": exact,
            "slots": [number for number, slot in enumerate(slots) for _ in slot], "optional": list(optional), **files,
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
             files: Mapping[str, str]) -> Answers:
    if not os.path.exists(files["answer.json"]):
        last = ended.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise LstmEngineError(f"{framework} could not run {source}: it ended with code {ended.returncode}: {last}")
    answer = json.loads(Path(files["answer.json"]).read_text(encoding="utf-8"))
    if "error" in answer:
        raise LstmEngineError(f"{framework} could not run {source}: {answer['error']}")
    if "weights_only" in answer:
        return Answers(framework, [], weights_only=answer["weights_only"])
    with np.load(files["outputs.npz"], allow_pickle=False) as arrays:
        return gathered(answer, arrays)


def gathered(answer: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Answers:
    """Answers from what `framework_child.measure` gives."""
    cases = []
    for number, told in enumerate(answer["cases"]):
        names = told.get("names", [])

        def outputs(number: int = number, count: int = len(names), suffix: str = "") -> list[np.ndarray]:
            keys = [f"{number}.{place}{suffix}" for place in range(count)]
            return [arrays[key] for key in keys] if all(key in arrays for key in keys) else []

        nudged = [outputs(suffix=f".nudge{count}") for count in range(_MOST_NUDGES)]
        cases.append(Answer(names, outputs(), told.get("seconds"), [made for made in nudged if made],
                            outputs(suffix=".exact") or None, told.get("error"), told.get("skipped", False)))
    return Answers(answer["version"], cases, answer["wanted"], answer["remarks"])


def by_our_names(ours: Sequence[str], answer: Answer, framework: str,
                 outputs: Sequence[np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """A framework's outputs under our names: by name where it has all of ours, else by place.

    outputs: others than `answer.outputs`, in their order. Where the framework has more than the model, those behind
    are left out. Raises FormatError where it has fewer.
    """
    given = answer.outputs if outputs is None else outputs
    if set(ours) <= set(answer.names):
        return {name: given[answer.names.index(name)] for name in ours}
    if len(ours) > len(answer.names):
        raise FormatError(f"{framework} gives {len(answer.names)} outputs ({', '.join(answer.names)}), the model "
                          f"{len(ours)} ({', '.join(ours)})")
    return dict(zip(ours, given))           # noqa: B905  (it may have more)
