"""The targets by name, each loaded when it is asked for: not every machine has what all of them need."""

from __future__ import annotations

import importlib

from ..target import Target

# name -> the file that makes it, and the parts of the package whose lines lead atheris to new inputs. Those whose name
# ends in "-whole" go the whole way through the parser's process.
_RUN = ("graph", "operators", "plan", "model", "stream", "inputs", "quick")
_MAPPING = ("graph", "operators", "importers.reading")
_ONNX, _KERAS = (*_MAPPING, "importers.onnx"), (*_MAPPING, "importers.keras")
_TORCH = ("importers.reading", "importers.arrays", "importers.torch")
_ARRAYS = ("importers.reading", "importers.arrays")
FILES: dict[str, tuple[str, tuple[str, ...]]] = {
    "lstm": ("own_format", ("format", "graph", "strict_json")),
    "onnx": ("onnx_files", _ONNX),
    "onnx-answer": ("onnx_files", _ONNX),
    "onnx-run": ("onnx_files", (*_ONNX, *_RUN)),
    "onnx-whole": ("onnx_files", ("importers.onnx",)),
    "keras": ("keras_files", _KERAS),
    "keras-whole": ("keras_files", ("importers.keras",)),
    "h5": ("keras_files", _KERAS),
    "h5-whole": ("keras_files", ("importers.keras",)),
    "answer": ("child_answers", ("importers.reading",)),
    "torch": ("torch_files", _TORCH),
    "script": ("torch_files", (*_TORCH, "importers.onnx")),
    "pt2": ("torch_files", (*_TORCH, "importers.onnx")),
    "safetensors": ("torch_files", _TORCH),
    "json": ("json_weights", _TORCH),
    "npz": ("array_files", (*_ARRAYS, "cli.reading")),
    "spec": ("array_files", (*_ARRAYS, "format.codec", "graph")),
    "csv": ("csv_files", ("cli",)),
    "graph": ("hostile_graphs", (*_RUN, "importers.onnx")),
    "api": ("misuse_of_calls", _RUN),
}


def load(name: str) -> Target:
    """The target of this name. Raises ImportError where a library that it needs is missing."""
    return importlib.import_module(f".{FILES[name][0]}", __name__).targets()[name]
