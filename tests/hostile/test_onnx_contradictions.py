"""ONNX files that say a thing twice, or one thing here and another there: which would be meant is nobody's guess.

ONNX Runtime is the oracle: it refuses each of them too, and where it does not, its numbers are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx_graphs import graph, model, node, runtime_outputs

import lstm_engine as le

X = np.array([[-1.0, 2.0], [3.0, -7.0]], np.float32)
EYE = np.eye(2, dtype=np.float32)


def function(op: str, overload: str = "", domain: str = "own", name: str = "F", opset: int = 21) -> Any:
    opsets = [onnx.helper.make_opsetid("", opset)] if opset else []
    made = onnx.helper.make_function(domain, name, ["a"], ["b"], [node(op, "a", "b")], opsets)
    made.overload = overload
    return made


def calling(*functions: Any, overload: str = "", domain: str = "own", name: str = "F") -> Any:
    made = model([node(name, "x", "y", domain=domain)], {"x": ("b", 2)}, "y", functions=functions, domains={"own": 1})
    made.graph.output[0].type.CopyFrom(made.graph.input[0].type)
    made.graph.node[0].overload = overload
    return made


def plain(op: str = "LeakyRelu", **attributes: Any) -> Any:
    made = model([node(op, "x", "y", **attributes)], {"x": ("b", 2)}, "y")
    made.graph.output[0].type.CopyFrom(made.graph.input[0].type)
    return made


@pytest.mark.parametrize("overload", ["one", "two"])
def test_functions_of_one_name_are_told_apart(overload: str) -> None:
    """By `overload`, since version 10 of the format: the last of them was taken for every call."""
    source = calling(function("Neg", "one"), function("Abs", "two"), overload=overload)
    expected, = runtime_outputs(source, {"x": X}).values()
    for given in (source, source.SerializeToString()):
        np.testing.assert_array_equal(le.convert(given).predict(X), expected)


@pytest.mark.parametrize("domain", ["", "ai.onnx"])
def test_a_function_in_the_place_of_an_operator(domain: str) -> None:
    """Here runtimes differ: ONNX's own takes the function, ONNX Runtime the operator."""
    source = calling(function("Neg", domain=domain, name="Relu"), domain=domain, name="Relu")
    with pytest.raises(le.UnsupportedError, match="Relu.: the model has a function of the same name"):
        le.convert(source)


def of_type(kind: int, **fields: Any) -> Callable[[], Any]:
    def make() -> Any:
        made = plain()
        attribute = made.graph.node[0].attribute.add(name="alpha", type=kind)
        for field, value in fields.items():
            setattr(attribute, field, value)
        return made
    return make


def attribute_twice() -> Any:
    made = plain("Softmax", axis=0)
    made.graph.node[0].attribute.append(onnx.helper.make_attribute("axis", 1))
    return made


def floats_too() -> Any:
    made = plain(alpha=0.5)
    made.graph.node[0].attribute[0].floats.append(3.0)
    return made


def input_twice() -> Any:
    made = plain()
    made.graph.input.append(made.graph.input[0])
    return made


def product(tensor: np.ndarray, dtype: int, shape: list[int]) -> Any:
    made = model([node("MatMul", "x w", "y")], {"x": ("b", 2)}, "y", {"w": tensor})
    made.graph.input.append(onnx.helper.make_tensor_value_info("w", dtype, shape))
    made.graph.output[0].type.CopyFrom(made.graph.input[0].type)
    return made


def inner_tensor(name: str, array: np.ndarray) -> Any:
    """A branch of an If with a tensor of its own, beside a tensor w and a value m outside it."""
    inner = graph([node("Add", f"x {name}", "z0")], {}, "z0", {name: array})
    other = graph([node("Add", "x w", "z1")], {}, "z1")
    return model([node("Neg", "x", "m"), node("If", "c", "z", then_branch=inner, else_branch=other),
                  node("Add", "z m", "y")], {"x": ("b", 2), "c": ("bool", ())}, "y", {"w": EYE[:1]})


@pytest.mark.parametrize("name", ["w", "m", "x"])
def test_a_tensor_of_a_branch_with_a_name_from_outside(name: str) -> None:
    """ONNX Runtime and ONNX's reference read the outer one of two tensors, and the inner one in place of a node's."""
    with pytest.raises(le.FormatError, match=f"tensor '{name}' of an inner graph has the name of another value"):
        le.convert(inner_tensor(name, EYE[1:]))


def test_a_tensor_of_a_branch_that_is_the_one_outside() -> None:
    source = inner_tensor("w", EYE[:1])
    feeds = {"x": X, "c": np.array(True)}
    expected, = runtime_outputs(source, feeds).values()
    np.testing.assert_array_equal(le.convert(source).predict(feeds), expected)


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "an attribute twice": (attribute_twice, le.FormatError, r"\(Softmax\): attribute 'axis' is there twice"),
    "a whole number for a float": (of_type(1, i=3), le.FormatError,
                                   r"attribute 'alpha' holds 'i', which its type \(1\) does not say"),
    "a float and a whole number": (of_type(1, f=0.5, i=3), le.FormatError, "attribute 'alpha' holds 'i'"),
    "a float and floats": (floats_too, le.FormatError, "attribute 'alpha' holds 'floats'"),
    "two of no type": (of_type(0, f=0.5, i=3), le.FormatError, "attribute 'alpha' holds 'i'"),
    "an input twice": (input_twice, le.FormatError, "two of its inputs have one name"),
    "a function twice": (lambda: calling(function("Neg"), function("Abs")), le.FormatError,
                         "function 'own.F' is there twice"),
    "an overload that is not there": (lambda: calling(function("Neg", "one"), overload="two"), le.FormatError,
                                      "no function of this name with the overload 'two'"),
    "a function without a version": (lambda: calling(function("Neg", opset=0)), le.UnsupportedError,
                                     "function 'F' asks for version 0 of ONNX's operators"),
    "a tensor of other sizes as an input": (lambda: product(EYE, 1, [3, 3]), le.FormatError,
                                            r"'w' is float32 \[2, 2\]; as an input of the graph it is .* \[3, 3\]"),
    "a tensor of other axes as an input": (lambda: product(EYE, 1, [2]), le.FormatError, r"it is float32 \[2\]"),
    "a tensor of another type as an input": (lambda: product(EYE, 11, [2, 2]), le.FormatError, "it is float64"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused(case: str) -> None:
    make, error, message = REFUSED[case]
    source = make()
    with pytest.raises(Exception):  # noqa: B017, PT011  (ONNX Runtime's errors have no class of their own)
        runtime_outputs(source, {"x": X})
    for given in (source, source.SerializeToString()):
        with pytest.raises(error, match=message):
            le.convert(given)


def test_what_others_leave_out_is_no_contradiction() -> None:
    """A value of 0 that is not written, and a tensor as an input whose sizes are symbols."""
    for source in (of_type(1)(), product(EYE, 1, ["n", 2])):
        expected, = runtime_outputs(source, {"x": X}).values()
        np.testing.assert_array_equal(le.convert(source).predict(X), expected)


def external(folder: Path, *entries: tuple[str, str]) -> Path:
    made = model([node("MatMul", "x w", "y")], {"x": ("b", 2)}, "y", {"w": EYE})
    made.graph.output[0].type.CopyFrom(made.graph.input[0].type)
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "w.bin"), *entries):
        tensor.external_data.add(key=key, value=value)
    (folder / "w.bin").write_bytes(EYE.tobytes() + bytes(16))
    (folder / "m.onnx").write_bytes(made.SerializeToString())
    return folder / "m.onnx"


@pytest.mark.parametrize("entry, message", [
    (("ofset", "16"), "tensor 'w': external data: it says 'ofset'; known: location, offset, length, checksum"),
    (("location", "v.bin"), "tensor 'w': its external data says something twice"),
])
def test_what_external_data_says(entry: tuple[str, str], message: str, tmp_path: Path) -> None:
    path = external(tmp_path, entry)
    with pytest.raises(Exception):  # noqa: B017, PT011  (as above)
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with pytest.raises(le.FormatError, match=message):
        le.convert(path)


def test_what_external_data_may_say(tmp_path: Path) -> None:
    path = external(tmp_path, ("offset", "0"), ("length", "16"), ("checksum", "0" * 40))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(le.convert(path).predict(X), session.run(None, {"x": X})[0])
