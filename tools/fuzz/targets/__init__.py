"""The targets by name, each loaded when it is asked for: not every machine has what all of them need."""

from __future__ import annotations

import importlib

from ..target import Target

# name -> the file that makes it. Those whose name ends in "-whole" go the whole way through the parser's process.
FILES = {
    "lstm": "own_format", "onnx": "onnx_files", "onnx-answer": "onnx_files", "onnx-run": "onnx_files",
    "onnx-whole": "onnx_files", "keras": "keras_files", "keras-whole": "keras_files", "h5": "keras_files",
    "h5-whole": "keras_files", "answer": "child_answers", "torch": "torch_files", "pt2": "torch_files",
    "safetensors": "torch_files", "npz": "array_files", "spec": "array_files", "csv": "csv_files",
    "graph": "hostile_graphs", "api": "misuse_of_calls",
}


def load(name: str) -> Target:
    """The target of this name. Raises ImportError where a library that it needs is missing."""
    return importlib.import_module(f".{FILES[name]}", __name__).targets()[name]
