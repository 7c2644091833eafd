"""The engines that are compared. Each runs in a process of its own (bench/worker.py)."""

from __future__ import annotations

from importlib.util import find_spec

from .base import Engine, EngineFailed, NotSupported, Variant

# engine -> (package that must be installed, module here)
ENGINES = {
    "lstm_engine": ("lstm_engine", "own"),
    "onnxruntime": ("onnxruntime", "ort"),
    "torch": ("torch", "pytorch"),
    "openvino": ("openvino", "ov"),
    "lstm_engine-blas": ("lstm_engine", "own_blas"),
}
OWN = (
    "lstm_engine",
    "lstm_engine-blas",
)  # the engine itself, and with gemm="blas", which is run when asked for

__all__ = ["ENGINES", "OWN", "Engine", "EngineFailed", "NotSupported", "Variant", "create", "installed"]


def installed() -> list[str]:
    """The engine and its peers that are installed; those built from ONNX models need `onnx` too."""
    needs = {"onnxruntime": ("onnx",), "openvino": ("onnx",)}
    return [
        name
        for name, (package, _) in ENGINES.items()
        if name != OWN[1] and find_spec(package) and all(find_spec(other) for other in needs.get(name, ()))
    ]


def create(name: str) -> Engine:
    """The engine called `name`; imports its package."""
    from importlib import import_module

    return import_module(f".{ENGINES[name][1]}", __name__).create()
