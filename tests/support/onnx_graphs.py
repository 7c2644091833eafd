"""Builds small ONNX models, imports them, and compares the reference on the result with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lstm_engine.graph import Graph
from lstm_engine.importers import onnx as importer
from lstm_engine.importers.base import ImportOptions
from lstm_engine.operators import validate
from lstm_engine.reference import run


def node(op: str, inputs: str, outputs: str, name: str = "", domain: str = "", **attributes: Any) -> Any:
    """A NodeProto; names are separated by spaces, "-" stands for one left out. Its name is made of op and outputs."""
    from onnx import helper

    def names(text: str) -> list[str]:
        return ["" if part == "-" else part for part in text.split()]
    name = name or f"{op}_{outputs}".replace(" ", "_").lower()
    return helper.make_node(op, names(inputs), names(outputs), name=name, domain=domain, **attributes)


def graph(nodes: Sequence[Any], inputs: Mapping[str, Any], outputs: str,
          tensors: Mapping[str, Any] | None = None) -> Any:
    """A GraphProto. inputs: a shape (float32) or (dtype name, shape) by name; outputs: names separated by spaces."""
    from onnx import ValueInfoProto, helper, numpy_helper
    values = []
    for name, shape in inputs.items():
        dtype, shape = shape if len(shape) == 2 and isinstance(shape[0], str) and isinstance(shape[1], tuple) \
            else ("float32", shape)
        values.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape))
    return helper.make_graph(list(nodes), "g", values, [ValueInfoProto(name=name) for name in outputs.split()],
                             [numpy_helper.from_array(np.asarray(array), name)
                              for name, array in (tensors or {}).items()])


def model(nodes: Sequence[Any], inputs: Mapping[str, Any], outputs: str, tensors: Mapping[str, Any] | None = None,
          opset: int = 21, functions: Sequence[Any] = (), domains: Mapping[str, int] | None = None) -> Any:
    """A ModelProto; see `graph`."""
    from onnx import helper
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, v) for d, v in (domains or {}).items())]
    return helper.make_model(graph(nodes, inputs, outputs, tensors), opset_imports=opsets, ir_version=10,
                             functions=list(functions))


def imported(source: Any, **spec: Any) -> Graph:
    """The checked graph of a live model; keywords are the parts of the spec."""
    return validate(importer.read_live(source, ImportOptions(spec=spec or None)))


def kinds(made: Graph) -> list[str]:
    """What the nodes are; an operator by its ONNX name."""
    return [getattr(n, "op_type", n.op) for n in made.nodes]


def runtime_outputs(source: Any, feeds: Mapping[str, np.ndarray], as_written: bool = False) -> dict[str, np.ndarray]:
    """What ONNX Runtime gives, by name. as_written: without its optimisations of the graph."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(source.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds))))


def check(source: Any, feeds: Mapping[str, np.ndarray], atol: float, **spec: Any) -> Graph:
    """Import, run the reference, compare every output with ONNX Runtime's; the graph.

    Inputs fixed by the spec are fed to ONNX Runtime alone.
    """
    made = imported(source, **spec)
    wanted = runtime_outputs(source, feeds)
    given = {value.name: feeds[value.name] for value in made.inputs}
    results = run(made, given)
    assert set(results) == set(wanted)
    for name, array in wanted.items():
        assert results[name].shape == array.shape, name
        np.testing.assert_allclose(results[name], array, rtol=0, atol=atol, err_msg=name)
    return made
