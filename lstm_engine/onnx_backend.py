"""ONNX's backend interface (onnx.backend.base), so that its own runner of node tests runs against this engine.

    onnx.backend.test.BackendTest(lstm_engine.onnx_backend, __name__)

ONNX's tests give the weights of a node as inputs of the run. The engine packs weights when a model is built, so a model
is built when the first run shows them, and again whenever they change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .errors import ArgumentError, ArgumentTypeError, LstmEngineError, MissingDependencyError, UnsupportedError
from .loading import convert
from .model import Model

try:
    import onnx
    from onnx import helper
    from onnx.backend import base
except ImportError as error:
    raise MissingDependencyError("lstm_engine.onnx_backend needs the package onnx: "
                                 "pip install lstm-engine[onnx]") from error

# Inputs of a recurrent node that must be known when a model is built: W, R, B, and an LSTM's P.
_WEIGHTS = {"LSTM": (1, 2, 3, 7), "GRU": (1, 2, 3), "RNN": (1, 2, 3)}


class Rep(base.BackendRep):
    """A prepared model. `run` may be called any number of times, from one thread at a time."""

    def __init__(self, proto: onnx.ModelProto, options: Mapping[str, Any]) -> None:
        stored = {tensor.name for tensor in proto.graph.initializer}
        self._proto, self._options = proto, dict(options)
        self._inputs = [value.name for value in proto.graph.input if value.name not in stored]
        self._outputs = [(value.name, _dtype(value)) for value in proto.graph.output]       # one may stand there twice
        needed = _needed_for_weights(proto.graph)
        self._weights = [name for name in self._inputs if name in needed]
        self._packed: dict[str, np.ndarray] = {}
        self._model: Model | None = None
        if not self._weights:
            self._model = self._built({})

    def run(self, inputs: Sequence[Any] | Mapping[str, Any],  # type: ignore[override]
            threads: int | None = None) -> tuple[np.ndarray, ...]:
        """The graph's outputs in its order, from arrays in the order of its inputs (or by name).

        Raises ArgumentError for a wrong number or wrong names of inputs, and what `Model.predict` raises.
        """
        given = _by_name(self._inputs, inputs)
        weights = {name: np.array(given.pop(name)) for name in self._weights}
        if self._model is None or not _same(weights, self._packed):
            self._model, self._packed = self._built(weights), weights
        result = self._model.predict(given, threads=threads)
        by_name = result if isinstance(result, dict) else dict.fromkeys(dict(self._outputs), result)
        return tuple(by_name[name].astype(dtype or by_name[name].dtype, copy=False)
                     for name, dtype in self._outputs)

    def _built(self, weights: Mapping[str, np.ndarray]) -> Model:
        return convert(self._proto, spec={"fixed": weights} if weights else None, **self._options)



class Backend(base.Backend):
    """onnx.backend.base.Backend on this engine; runs on the CPU alone."""

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether `device` ("CPU", "CPU:0", "CUDA", ...) is the CPU."""
        return device.partition(":")[0].upper() == "CPU"

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether `prepare` takes the model. Weights that are inputs are taken on trust: only a run shows them."""
        try:
            cls.prepare(model, device, **kwargs)
        except (LstmEngineError, onnx.checker.ValidationError):
            return False
        return True

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> Rep:
        """A model ready to run. kwargs: those of `le.convert` (gemm, dtype).

        Raises UnsupportedError for another device and for what the engine cannot run, naming the node.
        """
        cls._check_device(device)
        onnx.checker.check_model(model)
        return Rep(model, kwargs)

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU",
                  **kwargs: Any) -> tuple[np.ndarray, ...]:
        """`prepare`, then one run."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(cls, node: onnx.NodeProto, inputs: Any, device: str = "CPU",
                 outputs_info: Sequence[tuple[np.dtype, tuple[int, ...]]] | None = None,
                 **kwargs: Any) -> tuple[np.ndarray, ...]:
        """One node on its own: a named tuple of its outputs, those left out ("") excluded.

        inputs: an array for each input that is not "", or a dict by name. kwargs: opset_version (default: the newest
        that the installed onnx knows), and those of `le.convert`.
        """
        cls._check_device(device)
        version = kwargs.pop("opset_version", onnx.defs.onnx_opset_version())
        given = _by_name([name for name in node.input if name], inputs)
        arrays = {name: np.asarray(array) for name, array in given.items()}
        outputs = [name for name in node.output if name]
        graph = helper.make_graph(
            [node], node.op_type or "node",
            [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
             for name, array in arrays.items()],
            [onnx.ValueInfoProto(name=name) for name in outputs])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid(node.domain, version)])
        results = Rep(onnx.shape_inference.infer_shapes(model), kwargs).run(arrays)
        return base.namedtupledict("Outputs", outputs)(*results)

    @classmethod
    def _check_device(cls, device: str) -> None:
        if not cls.supports_device(device):
            raise UnsupportedError(f"device {device!r} is not supported: this engine runs on the CPU")


def _needed_for_weights(graph: onnx.GraphProto) -> set[str]:
    """Names of values that the weights of recurrent nodes are, or are computed from."""
    needed: set[str] = set()
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
        if node.domain in ("", "ai.onnx") and node.op_type in _WEIGHTS:
            needed.update(node.input[i] for i in _WEIGHTS[node.op_type] if i < len(node.input))
    return needed - {""}


def _by_name(names: Sequence[str], inputs: Sequence[Any] | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(inputs, Mapping):
        if set(inputs) != set(names):
            raise ArgumentError(f"inputs must be named {', '.join(names)}; got {', '.join(inputs) or 'none'}")
        return dict(inputs)
    if not isinstance(inputs, (list, tuple)):
        raise ArgumentTypeError(f"inputs: expected a list of arrays or a dict by name, got {type(inputs).__name__}")
    if len(inputs) != len(names):
        raise ArgumentError(f"inputs: expected {len(names)} ({', '.join(names)}), got {len(inputs)}")
    return dict(zip(names, inputs, strict=True))


def _dtype(value: onnx.ValueInfoProto) -> np.dtype | None:
    """The dtype a graph declares for an input or output; None where it leaves it open."""
    kind = value.type.tensor_type.elem_type
    return helper.tensor_dtype_to_np_dtype(kind) if kind else None


def _same(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(a[name].dtype == b[name].dtype and a[name].tobytes() == b[name].tobytes()
                                        for name in a)


is_compatible = Backend.is_compatible
prepare = Backend.prepare
run_model = Backend.run_model
run_node = Backend.run_node
supports_device = Backend.supports_device
