"""The types that operators take are ONNX's own: what NumPy would make of others, nobody has defined."""

from __future__ import annotations

import numpy as np
import pytest

defs = pytest.importorskip("onnx").defs

import lstm_engine as le
from lstm_engine.graph import Graph, Operator, Value
from lstm_engine.graph.nodes import DTYPES
from lstm_engine.operators import OPERATORS
from lstm_engine.operators.shape_rules import types_of

NAMES = {"float": "float32", "double": "float64"}
FLOATS = {"float16", "float32", "float64"}
# Its fill value is an input here, and the value of an If is what its branches make.
OTHERS = {"ConstantOfShape", "If"}
OWN = [name for name, spec in OPERATORS.items() if not spec.domain and name not in OTHERS]


def onnx_types(parameter) -> set[str]:
    """The types of an input by ONNX's schema that we have; floats of all widths where there is one of them."""
    named = {name[len("tensor("):-1] for name in parameter.types if name.startswith("tensor(")}
    found = {NAMES.get(name, name) for name in named} & set(DTYPES)
    return found | (FLOATS if found & FLOATS else set())


@pytest.mark.parametrize("name", OWN)
def test_they_are_those_of_the_schema(name):
    takes = OPERATORS[name].takes or ("any",)
    for position, parameter in enumerate(defs.get_schema(name).inputs):
        ours = types_of(takes[min(position, len(takes) - 1)]) - {"bfloat16"}      # of constants alone
        assert ours == onnx_types(parameter), (position, parameter.name)


@pytest.mark.parametrize("name", OWN)
def test_those_of_one_type_are_the_schemas(name):
    given, ours = defs.get_schema(name).inputs, OPERATORS[name].variables
    last = [given[-1].type_str] if given and given[-1].is_homogeneous else []      # of as many as there may be
    theirs = [*(parameter.type_str for parameter in given), *last]
    own = [ours[min(position, len(ours) - 1)] for position in range(len(theirs))]
    assert [own.index(letter) for letter in own] == [theirs.index(variable) for variable in theirs]


@pytest.mark.parametrize("op, dtypes, said", [
    ("Add", ("bool", "bool"), "input 0 must be numbers, got bool; cast it first"),
    ("Sqrt", ("int64",), "input 0 must be floats, got int64"),
    ("And", ("float32", "bool"), "input 0 must be bool, got"),
    ("Where", ("int64", "float32", "float32"), "input 0 must be bool, got int64"),
    ("Relu", ("uint8",), "input 0 must be floats or signed numbers, got uint8"),
    ("MatMul", ("int8", "int8"), "input 0 must be floats or numbers of 32 or 64 bits, got int8"),
    ("ReduceSum", ("bool",), "input 0 must be numbers, got bool"),
    ("Gather", ("float32", "float32"), "input 1 must be int32 or int64, got float32")])
def test_what_nobody_has_defined_is_refused(op, dtypes, said):
    inputs = tuple(Value(f"x{at}", ("batch", 3), dtype) for at, dtype in enumerate(dtypes))
    node = Operator(name="n", op_type=op, inputs=tuple(value.name for value in inputs), outputs=("y",))
    with pytest.raises(le.GraphError, match=f"node 'n' \\({op}\\): {said}"):
        le.Model(Graph(inputs, (node,), ("y",)))


def test_a_constant_is_held_to_it_too():
    node = Operator(name="n", op_type="Mul", inputs=("x", ""), outputs=("y",), constants={1: np.array(True)})
    with pytest.raises(le.GraphError, match="input 1 must be numbers, got bool"):
        le.Model(Graph((Value("x", ("batch", 3)),), (node,), ("y",)))


@pytest.mark.parametrize("op, dtypes, said", [
    ("Add", ("FLOAT", "DOUBLE"), "inputs 0 and 1 must be of one type, got float32 and float64; cast one of them first"),
    ("Where", ("BOOL", "INT64", "FLOAT"), "inputs 1 and 2 must be of one type, got int64 and float32"),
    ("Concat", ("INT32", "INT32", "INT64"), "inputs 0 and 2 must be of one type, got int32 and int64"),
    ("MatMul", ("FLOAT", "DOUBLE"), "must be of one type"), ("Pow", ("DOUBLE", "INT32"), None),
    ("CastLike", ("FLOAT", "INT64"), None), ("Gather", ("DOUBLE", "INT32"), None)])
def test_a_file_of_two_types_where_one_is_asked(op, dtypes, said):
    """As ONNX Runtime has it."""
    from onnx import TensorProto, helper

    runtime = pytest.importorskip("onnxruntime")
    inputs = [helper.make_tensor_value_info(f"x{at}", getattr(TensorProto, dtype), [3] if op == "Gather" else [3, 3])
              for at, dtype in enumerate(dtypes)]
    attributes = {"axis": 0} if op in ("Concat", "Gather") else {}
    output = helper.make_empty_tensor_value_info("y")
    graph = helper.make_graph([helper.make_node(op, [f"x{at}" for at in range(len(dtypes))], ["y"], name="n",
                                                **attributes)], "g", inputs, [output])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    if said is None:
        le.convert(proto)
        runtime.InferenceSession(proto.SerializeToString())
        return
    with pytest.raises(le.GraphError, match=f"node 'n' \\({op}\\).*{said}"):
        le.convert(proto)
    with pytest.raises(le.GraphError, match=said):
        le.convert(proto.SerializeToString())
    with pytest.raises(Exception, match="bound to different types"):
        runtime.InferenceSession(proto.SerializeToString())
