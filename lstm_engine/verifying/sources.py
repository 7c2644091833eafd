"""Who can run a source: its framework, in a process of its own, or a live model here; or nobody, and why not."""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArgumentTypeError, FormatError, LstmEngineError, UnsupportedError
from ..files import open_regular, size_of
from ..importers.reading.zip_archive import Archive
from . import framework_child, frameworks

Slots = Sequence[Sequence[Mapping[str, np.ndarray]]]
Run = Callable[[Slots, Collection[int]], frameworks.Answers]        # slots, those that are optional
NUDGES = 3                  # runs with weights and inputs moved by a unit in the last place
THREADS = 1                 # inputs are small: a team costs more than it saves, far more where others want the cores
WEIGHTS_ONLY = ("weights only: the program was not seen (a file of weights does not say what is computed with them, "
                "and a pickled module is never unpickled); pass the live module, or the file of torch.export.save")
_TORCHSCRIPT = "TorchScript is code and was not run; --run-source (run_source=True) runs it in PyTorch"


@dataclass(frozen=True)
class Source:
    """name: as it is told. run: the framework's answers to slots of inputs; None: it cannot be run, and `reason` says
    why. framework: who runs it."""

    name: str
    framework: str = ""
    run: Run | None = None
    reason: str = ""


def source_of(source: Any, *, spec: Any = None, run_source: bool = False) -> Source:
    """Who runs a source: a path, or a live torch.nn.Module, keras.Model or onnx.ModelProto.

    run_source: run TorchScript too, which is code. Raises ArgumentTypeError for an object of another kind.
    """
    if not isinstance(source, (str, os.PathLike)):
        return _live(source, spec)
    path = Path(source)
    name = str(path)
    framework = frameworks.framework_of(path)
    if frameworks.is_own(path):
        return Source(name, reason=f"{name} is a .lstm file: it holds what was imported, not the program that it was "
                                   "imported from")
    if frameworks.is_json(frameworks.head_of(path)):
        return Source(name, reason=f"{name} is JSON, which no framework runs; pass the live model that it was made "
                                   "from, or a file that holds it (.keras, .pt2, .onnx)")
    if framework is None and _is_torchscript(path):
        if not run_source:
            return Source(name, reason=_TORCHSCRIPT)
        framework = "torchscript"
    if framework is None:
        return Source(name, reason=WEIGHTS_ONLY)
    if framework == "onnxruntime" and not frameworks.installed(framework) and frameworks.installed("onnx"):
        framework = "onnx"
    if not frameworks.installed(framework):
        return Source(name, reason=f"{framework} is not installed, so {name} was not run in it")
    return Source(name, framework, partial(_in_child, framework, path, spec))


def _in_child(framework: str, path: Path, spec: Any, slots: Slots, optional: Collection[int]) -> frameworks.Answers:
    return frameworks.run_slots(framework, path, slots, optional=optional, spec=spec, threads=THREADS, nudges=NUDGES,
                                exact=True)


def _is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive: a zip with its module's code."""
    try:
        with open_regular(path) as file:
            records = Archive(file, size_of(file)).records
    except (OSError, FormatError, UnsupportedError):
        return False
    return any("/code/" in name and name.endswith(".py") for name in records)


def _live(source: Any, spec: Any) -> Source:
    from ..importers import keras, onnx, torch

    name = f"the live {type(source).__qualname__}"
    if torch.claims_live(source):
        return Source(name, "torch", partial(_here, lambda: _open_torch(source)))
    if keras.claims_live(source):
        return Source(name, "keras", partial(_here, lambda: framework_child.keras_model(source)))
    if onnx.claims_live(source):
        return _onnx_proto(source, name, spec)
    raise ArgumentTypeError("source is a path, a torch.nn.Module, a keras.Model or an onnx.ModelProto, not "
                            f"{type(source).__module__}.{type(source).__qualname__}")


def _onnx_proto(proto: Any, name: str, spec: Any) -> Source:
    framework = "onnxruntime" if frameworks.installed("onnxruntime") else "onnx"

    def run(slots: Slots, optional: Collection[int]) -> frameworks.Answers:
        with tempfile.TemporaryDirectory(prefix="lstm-engine-") as folder:
            path = Path(folder, "model.onnx")
            path.write_bytes(proto.SerializeToString())
            return _in_child(framework, path, spec, slots, optional)
    return Source(name, framework, run)


def _open_torch(module: Any) -> framework_child.Opened:
    """Copies of a module in eval mode: its own mode, weights and hooks stay as they are."""
    def make() -> Any:
        copied = copy.deepcopy(module)
        copied.eval()
        return copied
    return framework_child.torch_module(make)


def _here(opening: Callable[[], framework_child.Opened], slots: Slots, optional: Collection[int]) -> frameworks.Answers:
    """What `frameworks.run_slots` does, in this process: a live model is the caller's own code. Optional slots, which
    may end a process, are left out."""
    try:
        opened = opening()
    except Exception as error:
        raise LstmEngineError(f"it could not be run: {framework_child.first_line(error)}") from error
    cases = [(list(case), list(case.values())) for slot in slots for case in slot]
    places = [number for number, slot in enumerate(slots) for _ in slot]
    with framework_child.torch_threads(THREADS):
        answer, arrays = framework_child.measure(opened, cases, places, nudges=NUDGES, exact=True, seconds=0.0,
                                                 leave_out=set(optional))
    return frameworks.gathered(answer, arrays)
