"""An ONNX file in ONNX Runtime, or in onnx's own reference implementation."""

from __future__ import annotations

from typing import Any

import numpy as np

from .measure import Opened, Run, is_weight, nudged, ordered


def open_onnxruntime(source: str, threads: int | None, as_written: bool = False) -> Opened:
    """as_written: without the products that ONNX Runtime puts in the place of those with dequantised weights, which
    round their other factor too."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3
    if as_written:
        options.add_session_config_entry("session.disable_quant_qdq", "1")

    def session_of(what: Any) -> Any:
        return onnxruntime.InferenceSession(what, options, providers=["CPUExecutionProvider"])

    session = session_of(source)
    wanted = [{"name": value.name, "shape": [size if isinstance(size, int) else None for size in value.shape],
               "dtype": _ONNX_TYPES.get(value.type)} for value in session.get_inputs()]
    names_out = [value.name for value in session.get_outputs()]

    def run_of(session: Any) -> Run:
        def run(names: list[str], given: list[np.ndarray]) -> list[Any]:
            arrays = ordered([value["name"] for value in wanted], names, given)
            return list(session.run(names_out, {value["name"]: array.astype(value["dtype"] or array.dtype, copy=False)
                                                for value, array in zip(wanted, arrays, strict=True)}))
        return run

    # No float64 here: ONNX Runtime has no recurrent operators in it. The nudged runs say how exact it is.
    return Opened(f"onnxruntime {onnxruntime.__version__}", names_out, run_of(session), wanted,
                  lambda rng: run_of(session_of(_nudged_onnx(source, rng).SerializeToString())))


_ONNX_TYPES = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(int64)": "int64",
               "tensor(int32)": "int32", "tensor(uint8)": "uint8", "tensor(bool)": "bool",
               "tensor(float16)": "float16", "tensor(int8)": "int8", "tensor(int16)": "int16",
               "tensor(uint16)": "uint16", "tensor(uint32)": "uint32", "tensor(uint64)": "uint64"}


def open_onnx_reference(source: str, threads: int | None) -> Opened:
    import onnx
    from onnx.reference import ReferenceEvaluator

    model = onnx.load(source)
    for node in model.graph.node:
        if node.op_type in ("LSTM", "GRU", "RNN") and len(node.input) > 4 and node.input[4]:
            raise ValueError(f"onnx.reference ignores the lengths of {node.op_type} {node.name!r}")
    constants = {tensor.name for tensor in model.graph.initializer}
    wanted = [{"name": value.name, "shape": [dim.dim_value or None for dim in value.type.tensor_type.shape.dim],
               "dtype": onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name}
              for value in model.graph.input if value.name not in constants]

    def run_of(evaluator: Any) -> Run:
        def run(names: list[str], given: list[np.ndarray]) -> list[Any]:
            arrays = ordered([value["name"] for value in wanted], names, given)
            return list(evaluator.run(None, {value["name"]: array.astype(value["dtype"], copy=False)
                                             for value, array in zip(wanted, arrays, strict=True)}))
        return run

    return Opened(f"onnx.reference {onnx.__version__}", [value.name for value in model.graph.output],
                  run_of(ReferenceEvaluator(model)), wanted,
                  lambda rng: run_of(ReferenceEvaluator(_nudged_onnx(source, rng))))


def _nudged_onnx(source: str, rng: np.random.Generator) -> Any:
    """An ONNX model with its weights, initializers and Constants in all its graphs, moved by one unit."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(source)

    def visit(graph: Any) -> None:
        tensors = list(graph.initializer)
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.GRAPH:
                    visit(attribute.g)
                if node.op_type == "Constant" and attribute.type == onnx.AttributeProto.TENSOR:
                    tensors.append(attribute.t)
        for tensor in tensors:
            array = numpy_helper.to_array(tensor)
            if is_weight(array):
                tensor.CopyFrom(numpy_helper.from_array(nudged(array, rng), tensor.name))

    visit(model.graph)
    return model
