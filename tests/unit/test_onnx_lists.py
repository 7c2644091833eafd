"""Sequences of tensors, as PyTorch's lists are written: followed by what is in them, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx_graphs import check, graph, imported, kinds, model, node
from onnx_loop_bodies import COUNT, FEATURES, GOES_ON, READ, RNN, TOLERANCE, H, agrees, looped, normal, said, weights

from lstm_engine.errors import FormatError, UnsupportedError

TENSORS = {"zero": np.array(0), "last": np.array(-1), "one": np.array(1)}
LISTED = [node("SequenceEmpty", "", "none"), node("SequenceInsert", "none x", "first"),
          node("SequenceInsert", "first y", "both"), node("SequenceConstruct", "x y", "pair")]
X = {"x": ("batch", 3), "y": ("batch", 3)}


def of(nodes: list, outputs: str = "z", tensors: dict[str, Any] = TENSORS) -> Any:
    return model([*LISTED, *nodes], X, outputs, tensors)


@pytest.mark.parametrize("nodes", [
    [node("ConcatFromSequence", "both", "z", axis=1)], [node("ConcatFromSequence", "pair", "z", axis=0, new_axis=1)],
    [node("ConcatFromSequence", "pair", "z", axis=-1, new_axis=1)],
    [node("SequenceAt", "both last", "z")], [node("SequenceAt", "pair zero", "z")],
    [node("SequenceLength", "both", "n"), node("Cast", "n", "f", to=1), node("Add", "x f", "z")]])
def test_lists_of_known_elements(nodes: list) -> None:
    made = check(of(nodes), {"x": normal(2, 3), "y": normal(2, 3)}, TOLERANCE)
    assert not any("Sequence" in kind for kind in kinds(made))


@pytest.mark.parametrize(("split", "attributes", "at"), [
    ("", {"axis": 1, "keepdims": 0}, 4), ("", {"axis": -1}, -5), ("one", {"axis": 1}, 3), ("", {}, 1),
    ("two", {"axis": 1}, 2), ("two", {"axis": 1}, -1), ("parts", {"axis": 1}, 0), ("parts", {"axis": 1}, 1)])
def test_the_parts_of_a_tensor(split: str, attributes: dict[str, int], at: int) -> None:
    tensors = {"one": np.array(1), "two": np.array(2), "parts": np.array([3, 2]), "at": np.array(at)}
    nodes = [node("SplitToSequence", f"x {split}".strip(), "s", **attributes), node("SequenceAt", "s at", "z")]
    check(model(nodes, {"x": ("batch", 5)}, "z", tensors), {"x": normal(2, 5)}, TOLERANCE)


@pytest.mark.parametrize("split", ["", "one"])
def test_a_loop_over_the_parts_of_a_tensor(split: str) -> None:
    """As PyTorch writes `for step in x.split(1, dim=1)`."""
    before = [node("SplitToSequence", f"x {split}".strip(), "s", axis=1, keepdims=1),
              node("SequenceLength", "s", "count")]
    cell = [n for n in RNN if n.output[0] != "h1"] + [node("Tanh", "gates", "h1")]
    read = [node("SequenceAt", "s t", "part"), node("Squeeze", "part axis", "x_t")]
    source = looped(cell, "h", "h1", {**weights(1), "axis": np.array([1])}, read=read, before=before,
                    outer={"one": np.array(1)}, x=("batch", "time", FEATURES))
    agrees(source, "RNN")


@pytest.mark.parametrize(("split", "attributes", "error", "message"), [
    ("parts", {"axis": 1}, FormatError, "its parts have 5 elements together, the axis 6"),
    ("less", {"axis": 1}, FormatError, "must be whole numbers"), ("none", {"axis": 1}, FormatError, "must be whole"),
    ("two", {"axis": 0}, UnsupportedError, "only the run knows"), ("n", {"axis": 1}, UnsupportedError, "only the run"),
    ("two", {"axis": 1, "keepdims": 0}, UnsupportedError, "keepdims is 0 beside sizes"),
    ("", {"axis": 2}, FormatError, "axis 2 is outside the 2 axes"), ("", {"keepdims": 2}, FormatError, "keepdims")])
def test_parts_that_are_refused(split: str, attributes: dict[str, int], error: type, message: str) -> None:
    tensors = {"two": np.array(2), "parts": np.array([3, 2]), "less": np.array([-3, 9]), "none": np.array(0)}
    nodes = [node("SplitToSequence", f"x {split}".strip(), "s", **attributes), node("SequenceAt", "s two", "z")]
    with pytest.raises(error, match=message):
        imported(model(nodes, {"x": ("batch", 6), "n": ("int64", ())}, "z", tensors))


@pytest.mark.parametrize(("nodes", "outputs", "error", "message"), [
    ([node("SequenceAt", "both i", "z")], "z", UnsupportedError, "only the run knows"),
    ([node("SequenceInsert", "both x zero", "c"), node("ConcatFromSequence", "c", "z", axis=0)], "z", UnsupportedError,
     "only the run knows"),
    ([node("SequenceAt", "both two", "z")], "z", FormatError, "place 2 is outside the 2"),
    ([node("ConcatFromSequence", "both", "z", axis=2)], "z", FormatError, "axis 2 is outside the 2"),
    ([node("ConcatFromSequence", "none", "z", axis=0)], "z", UnsupportedError, "only the run knows"),
    ([node("ConcatFromSequence", "x", "z", axis=0)], "z", FormatError, "'x' is no sequence of tensors"),
    ([node("ConcatFromSequence", "both", "z", axis=0, new_axis=2)], "z", FormatError, "new_axis 2"),
    ([node("SequenceErase", "both zero", "c"), node("SequenceAt", "c zero", "z")], "z", UnsupportedError,
     "SequenceErase"),
    ([node("Relu", "both", "z")], "z", UnsupportedError, "sequence of tensors"),
    ([node("SequenceConstruct", "both", "c"), node("SequenceAt", "c zero", "z")], "z", UnsupportedError,
     "sequence of tensors"),
    ([node("Identity", "x", "z")], "z both", UnsupportedError, "'both' is a sequence of tensors"),
])
def test_other_uses_of_lists_are_refused(nodes: list, outputs: str, error: type, message: str) -> None:
    source = model([*LISTED, *nodes], {**X, "i": ("int64", ())}, outputs, {**TENSORS, "two": np.array(2)})
    with pytest.raises(error, match=message):
        imported(source)


def appending(turns: Any, after: list, outputs: str, insert: Any = None, start: str = "none") -> Any:
    """A loop around a simple RNN that appends its state to a list. turns: None for as many as x has steps."""
    inside = graph([READ, *RNN, insert or node("SequenceInsert", "l h1", "l1"), GOES_ON],
                   {"t": ("int64", ()), "on": ("bool", ()), "h": ("batch", H), "l": ()}, "go h1 l1", weights(1))
    elements = onnx.helper.make_sequence_type_proto(onnx.helper.make_tensor_type_proto(1, None))
    inside.input[3].type.CopyFrom(elements)
    inside.output[0].type.tensor_type.elem_type = onnx.TensorProto.BOOL
    inside.output[1].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    inside.output[2].type.CopyFrom(elements)
    loop = node("Loop", f"{'count' if turns is None else 'n'} - h0 {start}", "h_last list", name="loop", body=inside)
    before = [*COUNT, node("SequenceEmpty", "", "none"), node("SequenceConstruct", "h0", "some")]
    return model([*before, loop, *after], {"x": ("time", "batch", 3), "h0": ("batch", H)}, outputs,
                 {**TENSORS, "n": np.array(turns or 0)})


@pytest.mark.parametrize("after", [
    node("ConcatFromSequence", "list", "z", axis=0, new_axis=1),
    node("ConcatFromSequence", "list", "z", axis=2, new_axis=1),
    node("ConcatFromSequence", "list", "z", axis=-2, new_axis=1),
    node("ConcatFromSequence", "list", "z", axis=0), node("ConcatFromSequence", "list", "z", axis=1),
    node("SequenceAt", "list last", "z"), node("SequenceAt", "list zero", "z"), node("SequenceLength", "list", "z")])
def test_what_a_loop_appends(after: Any) -> None:
    agrees(appending(None, [after], "h_last z"), "RNN")


def test_what_a_loop_appended_is_appended_to() -> None:
    after = [node("SequenceInsert", "list h0", "more"), node("SequenceAt", "more zero", "first"),
             node("SequenceAt", "more last", "z"), node("SequenceLength", "more", "length")]
    agrees(appending(None, after, "z first length"), "RNN")


def test_a_list_in_a_loop_that_is_written_out() -> None:
    source = appending(3, [node("ConcatFromSequence", "list", "z", axis=1, new_axis=1)], "z", start="some")
    check(source, {"x": normal(3, 2, 3), "h0": normal(2, H)}, TOLERANCE)


@pytest.mark.parametrize(("insert", "start", "message"), [
    (node("SequenceInsert", "l h", "l1"), "none", "not the cell's output"),
    (node("SequenceInsert", "l h1", "l1"), "some", "not empty before"),
])
def test_other_lists_of_loops_are_those_of_turns(insert: Any, start: str, message: str) -> None:
    said(appending(None, [node("ConcatFromSequence", "list", "z", axis=1, new_axis=1)], "z", insert, start), message)


def test_lists_that_no_turn_appends_to_are_refused() -> None:
    source = appending(None, [node("ConcatFromSequence", "list", "z", axis=1, new_axis=1)], "z",
                       node("Identity", "l", "l1"), "none")
    with pytest.raises(UnsupportedError, match="sequence of tensors"):
        imported(source)
