"""Bodies that are nearly those of a cell: whatever is changed, they are refused, or give ONNX Runtime's numbers."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx_graphs import imported, kinds, node, runtime_outputs
from onnx_loop_bodies import (
    COUNT,
    GRU,
    GRU_WEIGHTS,
    LSTM,
    MASK,
    MASKED,
    READ,
    TOLERANCE,
    H,
    agrees,
    changed,
    kept,
    looped,
    normal,
    said,
    some,
    weights,
)
from onnx_loop_mutations import BASES, MASKS, masked, mutate

import lstm_engine as le
from lstm_engine.errors import FormatError, LstmEngineError, UnsupportedError


def same_or_refused(source: Any, rng: np.random.Generator) -> bool:
    """That a loop gives ONNX Runtime's numbers, where it opens and both run; whether they do, and it is a layer."""
    feeds = {}
    for value in source.graph.input:
        shape = [{"time": 4, "batch": 2}.get(dim.dim_param, dim.dim_value) for dim in value.type.tensor_type.shape.dim]
        feeds[value.name] = rng.random(shape) < 0.6 if value.name in MASKS else \
            (rng.standard_normal(shape) / 2).astype(np.float32)
    try:
        made = le.convert(source)
        results = made.predict(feeds)
    except LstmEngineError:
        return False
    try:
        wanted = runtime_outputs(source, feeds, as_written=True)
    except Exception:           # ONNX Runtime's errors have no type of their own
        return False
    results = results if isinstance(results, dict) else {made.graph.outputs[0]: results}
    turned = "Loop" in kinds(made.graph)
    for name, array in wanted.items():
        # What a mutation makes grow is as far off as float32 is in its largest numbers.
        largest = np.abs(array[np.isfinite(array)]).max(initial=1)
        # What is no cell any more may divide by next to nothing, and feed that back.
        np.testing.assert_allclose(results[name], array, rtol=1e-2 if turned else 0, atol=TOLERANCE * largest,
                                   err_msg=f"{name} of {onnx.printer.to_text(source)}")
    return not turned


@pytest.mark.parametrize("base", BASES)
def test_mutations(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    choose, rng, run = random.Random(base), np.random.default_rng(0), 0
    monkeypatch.setattr("onnx_loop_bodies.RNG", rng)            # the same weights whatever ran before
    for _ in range(60):
        source = BASES[base]()
        for _ in range(choose.choice((1, 1, 2))):
            mutate(source, choose)
        run += same_or_refused(source, rng)
    assert run >= 5, "most of what is left unchanged in meaning is a layer"


@pytest.mark.parametrize("op", MASKED)
def test_masks_of_two(op: str) -> None:
    """Each state, and the output, kept by one mask or the other, turned, or by none: one mask for all is a layer, and
    none for the states; anything between is refused."""
    rng = np.random.default_rng(0)
    layers = {masks for masks in product(("m", "m2", "!m", "-"), repeat=3 if op == "LSTM" else 2)
              if same_or_refused(masked(op, " ".join(masks), "where"), rng)}
    states = 2 if op == "LSTM" else 1
    assert layers == {(mask,) * (states + 1) for mask in ("m", "m2")} | {
        ("-",) * states + (mask,) for mask in ("m", "m2", "!m", "-")}


@pytest.mark.parametrize(("nodes", "message"), [
    (changed(LSTM, node("Tanh", "o_", "o")), "different activations"),
    (changed(LSTM, node("Tanh", "fc", "tc")), r"not o \* H\(c\)"),
    (changed(LSTM, node("Mul", "f f", "fc")), "no GRU: its state is not .*no RNN: a gate is taken of a product"),
    (changed(LSTM, node("Softmax", "i_", "i", axis=1)), "mixes features"),
    (changed(LSTM, node("Add", "tc o", "h1")), r"not o \* H\(c\)"),
    ([*LSTM[:-1], node("Mul", "o tc", "h_"), node("Mul", "h_ half", "h1")], r"not o \* H\(c\)"),
    ([node("Exp", "h", "eh"), *changed(LSTM, node("MatMul", "eh R", "hr"))], "something else than the step"),
    (changed(LSTM, node("Mul", "c c", "fc")), "cell state is not"),
])
def test_what_is_no_lstm_is_refused_with_the_reason(nodes: list, message: str) -> None:
    said(looped(nodes, tensors={**weights(4), "half": np.float32(0.5)}), message)


@pytest.mark.parametrize(("nodes", "message"), [
    (changed(GRU, node("Sub", "half z", "z1")), r"not z \* h"),
    (changed(GRU, node("Mul", "z1 h", "new")), r"not z \* h"),
    (changed(GRU, node("Tanh", "r_", "r")), "different activations"),
    (changed(GRU, node("Add", "r hn", "rn")), "reset gate once"),
])
def test_what_is_no_gru_is_refused_with_the_reason(nodes: list, message: str) -> None:
    said(looped(nodes, "h", tensors={**GRU_WEIGHTS, "half": np.float32(0.5)}), message)


@pytest.mark.parametrize(("settings", "message"), [
    ({"read": [node("Add", "t k1", "at"), node("Gather", "x at", "x_t")]}, "another step than the next"),
    ({"before": [node("Shape", "x", "size", start=0, end=1), node("Sub", "size k1", "count")], "outer": {
        "k1": np.array(1)}}, "greatest number of turns|as many turns"),
    ({"go": [node("ReduceMax", "h1", "m", keepdims=0), node("Less", "m k2", "go")]}, "only the run knows"),
    ({"go": [node("Less", "t k1", "go")]}, "as many turns"),
    ({"results": "c1"}, "between the cell and a result"),
    ({"results": "i"}, "between the cell and a result"),
    ({"results": "h"}, "not the cell's output"),
    ({"x": ("time", 1, 3), "shapes": ("batch", H)}, "different rows|change their shape"),
    ({"shapes": (1, H)}, "different rows|change their shape"),
])
def test_loops_that_do_otherwise_than_a_layer_are_refused(settings: dict[str, Any], message: str) -> None:
    tensors = {**weights(4), **({} if "outer" in settings else {"k1": np.array(1)}), "k2": np.float32(2)}
    # Turns that read steps which are not there fail, in ONNX Runtime too.
    said(looped(LSTM, tensors=tensors, **settings), message, runs="next" not in message)


def test_a_body_whose_sizes_do_not_fit() -> None:
    with pytest.raises(FormatError, match="inner sizes 4 and 3 differ"):
        imported(looped(LSTM, tensors=weights(4), read=[node("Gather", "x t", "x_0"), node("Gather", "h0 t", "x_t")]))


def test_masks_that_are_not_keras_are_refused() -> None:
    cell, states, tensors = MASKED["LSTM"]
    more = {"mask": ("bool", ("time", "batch", 1))}
    of_c = [MASK, *cell, *kept("c1", "c_new", "c", "where"), node("Identity", "h_new", "h1")]
    said(looped(of_c, states, tensors=tensors, more=more), "mask", {"mask": some})
    both = [MASK, *cell, *(n for name in "hc" for n in kept(f"{name}1", f"{name}_new", name, "where"))]
    said(looped(both, states, tensors=tensors, more=more, results="h_new"), "not the cell's output",
         {"mask": some})
    said(looped(both, states, tensors=tensors, more={"mask": ("bool", ("time", "batch", H))}), "for each feature",
         {"mask": lambda time, batch: np.random.default_rng(time).random((time, batch, H)) < 0.6})
    # h itself at masked steps, which is 0 only where it begins so
    said(looped(both, states, tensors=tensors, more=more), "where steps are masked", {"mask": some})


def test_an_output_before_that_changes_its_shape() -> None:
    """It has an axis more after every turn."""
    cell, states, tensors = MASKED["GRU"]
    nodes = [MASK, *cell, *kept("h1", "h_new", "h", "where"), *kept("q", "h_new", "p", "where")]
    for last, message in ((node("Identity", "q", "p1"), ""),
                          (node("Unsqueeze", "q first", "p1"), "2 axes before a turn and 3 after")):
        source = looped([*nodes, last], f"{states} p", tensors={**tensors, "first": np.array([0])}, results="",
                        before=[*COUNT, node("Shape", "h0", "size"), node("ConstantOfShape", "size", "p0")],
                        more={"mask": ("bool", ("time", "batch", 1))})
        del source.graph.input[[value.name for value in source.graph.input].index("p0")]
        if message:
            with pytest.raises(UnsupportedError, match=message):
                imported(source)
        else:
            agrees(source, "GRU", {"mask": some})


def test_two_sequences_of_rows_that_may_differ() -> None:
    """Sizes that the file calls differently are checked when they come."""
    source = looped(LSTM, tensors=weights(4), shapes=("rows", H))
    agrees(source, "LSTM", {"h0": lambda time, batch: normal(batch, H), "c0": lambda time, batch: normal(batch, H)})
    with pytest.raises(LstmEngineError, match="h0|c0|rows"):
        le.convert(source).predict({"x": normal(4, 3, 3), "h0": normal(1, H), "c0": normal(1, H)})


def test_no_matrix_is_made_that_is_much_larger_than_the_file() -> None:
    """A state that is but scaled is one by a matrix, of a size that the file states freely."""
    fades = [node("Mul", "h decay", "hd"), node("Add", "hd x_t", "h1")]
    wide = 2**20
    said(looped(fades, "h", tensors={"decay": np.float32(0.5)}, shapes=("batch", wide), x=("time", "batch", wide)),
         "much larger than what the file has")
    part = [node("Slice", "x_t zero two two_", "xs"), node("MatMul", "xs K", "xk"), node("Add", "xk h", "sum"),
            node("Tanh", "sum", "h1")]
    said(looped(part, "h", shapes=("batch", 2000), x=("time", "batch", wide), tensors={
        "K": np.ones((2, 2000), np.float32), "zero": np.array([0]), "two": np.array([2]), "two_": np.array([1])}),
        "much larger than what the file has")


def test_a_body_is_put_together_within_bounds() -> None:
    """Equations that grow are given up, whatever the number of nodes."""
    sums = [READ, node("Add", "h x_t", "s0")]
    sums += [node("Mul", f"s{k} s{k}", f"s{k + 1}") for k in range(200)] + [node("Identity", "s200", "h1")]
    said(looped(sums, "h", read=[], shapes=("batch", 3)), "products")
    wide = [node("MatMul", "x_t K", "s0")]
    wide += [node("Add", f"s{k} p{k}", f"s{k + 1}") for k in range(100)]
    made = [n for k, one in enumerate(wide)
            for n in ([node("MatMul", f"x_t K{k % 3}", f"p{k - 1}"), one] if k else [one])]
    said(looped([*made, node("Add", "s100 h", "h1")], "h", shapes=("batch", 1500), x=("time", "batch", 1500),
                tensors={"K": np.ones((1500, 1500), np.float32),
                         **{f"K{k}": np.ones((1500, 1500), np.float32) for k in range(3)}}), "MB to put together")
