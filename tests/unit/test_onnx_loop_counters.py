"""How a loop counts its turns: in types that have every number of them, or it is no layer."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx_graphs import check, imported, kinds, node
from onnx_loop_bodies import COUNT, FEATURES, RNN, TOLERANCE, H, agrees, looped, normal, said, weights

import lstm_engine as le
from lstm_engine.errors import LimitError, UnsupportedError
from lstm_engine.importers.onnx.simplifying.turns import MANY, Number

# The types that a counter is kept in or cast to, and whether each has as many numbers as a layer may have steps.
TYPES = {"int8": False, "uint8": False, "int16": False, "uint16": False, "float16": False, "int32": True,
         "uint32": True, "int64": True, "uint64": True, "float32": True, "float64": True}
ROUNDS = "rounds or wraps"


def code(dtype: str) -> int:
    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def compared(dtype: str, steps: int | str = "time") -> Any:
    """A loop that counts for itself in int64, and compares as another type."""
    go = [node("Add", "k k_one", "t1"), node("Cast", "t1", "counted", to=code(dtype)),
          node("Cast", "limit", "end", to=code(dtype)), node("Less", "counted end", "go")]
    return looped(RNN, "h", read=[node("Gather", "x k", "x_t")], go=go,
                  before=[*COUNT, node("Squeeze", "count", "limit")], names="- on0", x=(steps, "batch", FEATURES),
                  tensors={"k_one": np.array(1), **weights(1)}, carried="k zero t1", outer={"zero": np.array(0)},
                  outputs="h_last")


def indexed(dtype: str) -> Any:
    """A step that is told by the turn's number, which was another type in between."""
    return looped(RNN, "h", tensors=weights(1), read=[
        node("Cast", "t", "other", to=code(dtype)), node("Cast", "other", "at", to=7), node("Gather", "x at", "x_t")])


def limited(dtype: str) -> Any:
    """A greatest number of turns that was another type."""
    return looped(RNN, "h", tensors=weights(1), names="most on0", before=[
        *COUNT, node("Cast", "count", "other", to=code(dtype)), node("Cast", "other", "most", to=7)])


@pytest.mark.parametrize("way", [compared, indexed, limited])
@pytest.mark.parametrize("dtype", TYPES)
def test_types_that_turns_are_counted_in(way: Any, dtype: str) -> None:
    source = way(dtype)
    if TYPES[dtype]:
        agrees(source, "RNN")
    elif dtype == "float16" and way is not limited:
        with pytest.raises(UnsupportedError, match="'loop'.*is float16, in a loop that is no recurrent layer"):
            imported(source)
    else:
        said(source, ROUNDS)


@pytest.mark.parametrize(("dtype", "steps", "layer"), [("int8", 126, True), ("int8", 128, False),
                                                       ("uint8", 254, True), ("uint8", 256, False),
                                                       ("float16", 300, True)])
def test_known_steps_are_counted_in_small_types_as_far_as_they_reach(dtype: str, steps: int, layer: bool) -> None:
    """Beyond, ONNX Runtime leaves off early: so does the loop written out."""
    made = check(compared(dtype, steps), {"x": normal(steps, 2, FEATURES), "h0": normal(2, H)}, TOLERANCE)
    assert ("RNN" in kinds(made)) is layer


def test_sums_on_the_way_to_a_step_that_a_type_does_not_have() -> None:
    """As real numbers each of these is the turn's own."""
    def read(*nodes: Any, **tensors: Any) -> Any:
        return looped(RNN, "h", tensors={**weights(1), **tensors},
                      read=[*nodes, node("Cast", "back", "at", to=7), node("Gather", "x at", "x_t")])

    small, large = np.float32(3), np.float32(2**25)
    through = [node("Cast", "t", "f", to=1), node("Add", "f far", "g"), node("Sub", "g far", "back")]
    agrees(read(*through, far=small), "RNN")
    said(read(*through, far=large), ROUNDS, runs=False)         # it reads steps that are not there
    shifted = [node("Cast", "t", "i", to=6), node("Mul", "i k16", "j"), node("Mul", "j k16", "j_"),
               node("Cast", "j_", "wide", to=7), node("Mul", "t k32", "less"), node("Sub", "wide less", "none"),
               node("Add", "none t", "back")]
    said(read(*shifted, k16=np.array(2**16, np.int32), k32=np.array(2**32)), ROUNDS, runs=False)


def test_the_comparison_may_not_round_either() -> None:
    for far, layer in ((3, True), (2**25, False)):
        go = [node("Add", "t k_one", "next"), node("Cast", "next", "f", to=1), node("Add", "f far", "g"),
              node("Less", "g end", "go")]
        before = [*COUNT, node("Squeeze", "count", "limit"), node("Cast", "limit", "l", to=1),
                  node("Add", "l far_", "end")]
        source = looped(RNN, "h", go=go, before=before, names="- on0", outer={"far_": np.float32(far)},
                        tensors={"k_one": np.array(1), "far": np.float32(far), **weights(1)})
        if layer:
            agrees(source, "RNN")
        else:
            said(source, ROUNDS)


@pytest.mark.parametrize("limit", [np.inf, np.nan, 3.5])
def test_limits_that_are_no_whole_number(limit: float) -> None:
    go = [node("Cast", "t", "f", to=1), node("Less", "f end", "go")]
    said(looped(RNN, "h", go=go, tensors={**weights(1), "end": np.float32(limit)}), "not whole")


@pytest.mark.parametrize("by", [0, 2, -1])
def test_counters_that_move_otherwise_than_by_one(by: int) -> None:
    source = looped(RNN, "h", read=[node("Gather", "x k", "x_t")], tensors={"by": np.array(by), **weights(1)},
                    go=[node("Add", "k by", "t1"), node("Identity", "on", "go")], carried="k zero t1",
                    outer={"zero": np.array(0)})
    said(source, "another step than the next", runs=by < 2)     # every other step: half of them are not there


def test_a_counter_that_changes_its_shape() -> None:
    """From () to [1]: from the second turn on, what is read at it has an axis more."""
    for one, layer in ((np.array(1), True), (np.array([1]), False)):
        source = looped(RNN, "h", read=[node("Gather", "x k", "x_t")], tensors={"one": one, **weights(1)},
                        go=[node("Add", "k one", "t1"), node("Identity", "on", "go")], carried="k zero t1",
                        outer={"zero": np.array(0)})
        if layer:
            agrees(source, "RNN")
        else:
            with pytest.raises(UnsupportedError, match="has 0 axes before a turn and 1 after it"):
                imported(source)


def test_calls_of_more_steps_than_a_float32_counts() -> None:
    """In ONNX Runtime 2**24 turns are the last, for 2**24 and 2**24 + 1 are one float32."""
    model = le.convert(compared("float32"))
    for made in (model, pickle.loads(pickle.dumps(model))):
        long = np.broadcast_to(np.float32(0), (2**24 + 1, 1, FEATURES))
        with pytest.raises(LimitError, match=r"input 'x' has 16,777,217 steps; a loop .* rounds beyond 16,777,215"):
            made.predict({"x": long, "h0": normal(1, H)})
    assert "most_steps" not in le.convert(compared("int64")).graph.metadata
    assert "most_steps" not in le.convert(compared("float32", 5)).graph.metadata


@pytest.mark.parametrize(("text", "most"), [("12", 12), ("", None), ("many", None), ("-1", None), ("9" * 5000, None)])
def test_what_a_file_says_of_steps_may_be_anything(text: str, most: int | None) -> None:
    graph = le.convert(compared("int64")).graph
    made = le.Model(replace(graph, metadata={**graph.metadata, "most_steps": text}))
    for steps in (12, 13):
        given = {"x": normal(steps, 1, FEATURES), "h0": normal(1, H)}
        if most is None or steps <= most:
            made.predict(given)
        else:
            with pytest.raises(LimitError, match="13 steps"):
                made.predict(given)


def test_how_far_a_number_holds() -> None:
    turn, steps = Number(0, 1), Number.of("time")
    assert turn.most == float("inf")
    next_one = (turn + Number(1)).kept_in("float32")
    assert next_one is not None and next_one.most == 2**24 - 1
    assert next_one.holds_for(Number(2**24 - 1)) and not next_one.holds_for(Number(2**24))
    assert next_one.holds_for(steps)                    # as many as MANY is asked for
    left = (steps - turn + Number(-1)).kept_in("float32")
    assert left is not None and MANY <= left.most < 2**23
    assert (left + Number(1)).most == left.times(-1).most == left.most           # what comes of it holds no farther
    assert left == steps - turn + Number(-1)            # and is the number that it is
    assert (steps - turn).kept_in("uint32") is None and turn.kept_in("bool") is None
