"""A Loop or Scan around several cells is the layers that they are, one after the other."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx_loop_bodies as bodies  # noqa: E402
from onnx_graphs import imported, kinds, model, node  # noqa: E402
from onnx_loop_bodies import FEATURES, H, agrees, looped, normal, said, some  # noqa: E402

CELLS = {"LSTM": (bodies.LSTM, 4, "h c"), "GRU": (bodies.GRU, 3, "h"), "RNN": (bodies.RNN, 1, "h")}


def cell(op: str, tag: str, x: str, features: int) -> tuple[list, str, dict[str, np.ndarray]]:
    """Nodes of one cell that reads x, its states, its weights, all with the tag in their names."""
    nodes, gates, states = CELLS[op]
    own = {"x_t": x, **{f"{name}{after}": f"{name}{tag}{after}" for name in states.split() for after in ("", "1")}}

    def renamed(name: str) -> str:
        return own.get(name, f"{name}{tag}") if name else name

    made = []
    for given in nodes:
        copy = onnx.NodeProto.FromString(given.SerializeToString())
        copy.name += tag
        copy.input[:] = map(renamed, given.input)
        copy.output[:] = map(renamed, given.output)
        made.append(copy)
    tensors = {"K": normal(features, gates * H), "R": normal(H, gates * H), "b": normal(gates * H),
               "b2": normal(gates * H), "one": np.float32(1)}
    return made, " ".join(f"{name}{tag}" for name in states.split()), {f"{k}{tag}": v for k, v in tensors.items()}


def stack(*ops: str, between: list | None = None, reads: str = "", features: int = H, turned: bool = False) -> Any:
    """A Loop around cells of which each reads the one before. between: nodes from hA1 to `reads`, which B reads."""
    nodes, states, tensors = [], [], {}
    for i, op in enumerate(ops):
        tag = "ABC"[i]
        x = "x_t" if i == 0 else reads if i == 1 and reads else f"h{'ABC'[i - 1]}1"
        made, names, weights = cell(op, tag, x, FEATURES if i == 0 else features if i == 1 else H)
        nodes += made + (between or [] if i == 0 else [])
        states += names.split()
        tensors.update(weights)
    return looped(nodes, " ".join(reversed(states) if turned else states), f"h{'ABC'[len(ops) - 1]}1", tensors)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("ops", list(product(CELLS, CELLS)))
def test_two_cells(ops: tuple[str, str], turned: bool) -> None:
    made = agrees(stack(*ops, turned=turned), ops[0])
    assert all(kinds(made).count(op) == ops.count(op) for op in ops)


@pytest.mark.parametrize("ops", [("LSTM", "LSTM", "LSTM"), ("GRU", "LSTM", "RNN")])
def test_three_cells(ops: tuple[str, ...]) -> None:
    made = agrees(stack(*ops), ops[0])
    assert all(kinds(made).count(op) == ops.count(op) for op in ops)


def test_what_stands_between_the_cells() -> None:
    dense = [node("MatMul", "hA1 D", "d"), node("Relu", "d", "r"), node("Concat", "r x_t", "both", axis=1)]
    source = stack("LSTM", "GRU", between=dense, reads="both", features=5 + FEATURES)
    inside = next(a.g for n in source.graph.node if n.op_type == "Loop" for a in n.attribute if a.name == "body")
    inside.initializer.append(onnx.numpy_helper.from_array(normal(H, 5), "D"))
    made = agrees(source, "LSTM")
    assert kinds(made).count("GRU") == 1


def test_cells_beside_each_other() -> None:
    """Which read the same steps, and nothing of each other."""
    first, states, tensors = cell("LSTM", "A", "x_t", FEATURES)
    second, more, others = cell("GRU", "B", "x_t", FEATURES)
    source = looped([*first, *second], f"{states} {more}", "hA1 hB1", {**tensors, **others})
    assert kinds(agrees(source, "LSTM")).count("GRU") == 1


def masked() -> Any:
    first, states, tensors = cell("LSTM", "A", "x_t", FEATURES)
    second, more, others = cell("LSTM", "B", "hA1", H)
    nodes = []
    for made in [*first, *second]:                              # the new states, where the mask says so
        for i, name in enumerate(made.output):
            if name in ("hA1", "cA1", "hB1", "cB1"):
                made.output[i] = f"{name}_new"
                nodes += [made, node("Where", f"m {name}_new {name[:-1]}", name)]
                break
        else:
            nodes.append(made)
    # Inside a cell the new c goes into h.
    for made in nodes:
        if made.op_type == "Tanh" and made.input[0] in ("cA1", "cB1"):
            made.input[0] += "_new"
    nodes = [node("Gather", "mask t", "m_", axis=0), node("Unsqueeze", "m_ last", "m"), *nodes]
    source = looped(nodes, f"{states} {more}", "hB1", {**tensors, **others, "last": np.array([1])},
                    more={"mask": ("time", "batch")})
    source.graph.input[-1].type.tensor_type.elem_type = onnx.TensorProto.BOOL
    return source


def test_a_mask_of_both_cells() -> None:
    """With states that begin at 0, as Keras has them: masked steps before the first one give 0."""
    source = masked()
    zeros = [node("Shape", "x", "rows", start=1, end=2), node("Concat", "rows width", "state_shape", axis=0)]
    source.graph.initializer.append(onnx.numpy_helper.from_array(np.array([H]), "width"))
    for given in [given for given in source.graph.input if given.name not in ("x", "mask")]:
        zeros.append(node("ConstantOfShape", "state_shape", given.name))
        source.graph.input.remove(given)
    nodes = [*zeros, *source.graph.node]
    del source.graph.node[:]
    source.graph.node.extend(nodes)
    feeds = {"mask": lambda time, batch: np.arange(time)[:, None] < np.arange(1, batch + 1)}
    assert kinds(agrees(source, "LSTM", feeds)).count("LSTM") == 2


def test_a_mask_of_cells_that_begin_with_states() -> None:
    said(masked(), "not the cell's output where steps are masked",
         {"mask": lambda time, batch: some(time, batch)[..., 0]})


@pytest.mark.parametrize("backwards", [0, 1])
def test_a_scan(backwards: int) -> None:
    first, states, tensors = cell("LSTM", "A", "x_t", FEATURES)
    second, more, others = cell("GRU", "B", "hA1", H)
    names = f"{states} {more}".split()
    inside = bodies.body([*first, *second, node("Identity", "hB1", "y")],
                         {**{name: ("batch", H) for name in names}, "x_t": ("batch", FEATURES)},
                         " ".join([*(f"{name}1" for name in names), "y"]), {**tensors, **others})
    outputs = " ".join([*(f"{name}_last" for name in names), "all"])
    scan = node("Scan", " ".join([*(f"{name}0" for name in names), "x"]), outputs, name="scan", num_scan_inputs=1,
                body=inside, scan_input_directions=[backwards], scan_output_directions=[backwards])
    source = model([scan], {**{f"{name}0": ("batch", H) for name in names}, "x": ("time", "batch", FEATURES)}, outputs)
    assert {"LSTM", "GRU"} <= set(kinds(agrees(source, "LSTM")))


def test_a_branch_of_the_body_has_names_of_its_own() -> None:
    """One that a step of the first cell could have been called: the branch would read its own value for it."""
    first, states, tensors = cell("RNN", "A", "x_t", FEATURES)
    second, more, others = cell("RNN", "B", "picked", H)
    branches = {}
    for name, sign in (("then_branch", "Neg"), ("else_branch", "Relu")):
        inner = [node("Mul", "two two", "hA1/step"), node("Mul", "hA1 hA1/step", "scaled"), node(sign, "scaled", sign)]
        branches[name] = bodies.body(inner, {}, sign, {})
    nodes = [*first, node("If", "way", "picked", name="branch", **branches), *second]
    constants = {"two": np.float32(2), "way": np.array(True)}
    source = looped(nodes, f"{states} {more}", "hB1", {**tensors, **others, **constants})
    assert kinds(agrees(source, "RNN")).count("RNN") == 2


def test_a_second_cell_that_reads_the_state_before_the_turn() -> None:
    first, states, tensors = cell("LSTM", "A", "x_t", FEATURES)
    second, more, others = cell("LSTM", "B", "hA", H)
    said(looped([*first, *second], f"{states} {more}", "hB1", {**tensors, **others}), "4 states")


def test_cells_that_read_each_other_are_one_group() -> None:
    """A decoder that feeds its output back is no stack of layers."""
    first, states, tensors = cell("RNN", "A", "fed", H)
    second, more, others = cell("RNN", "B", "hA1", H)
    nodes = [node("Add", "hB shift", "fed"), *first, *second]
    source = looped(nodes, f"{states} {more}", "hB1", {**tensors, **others, "shift": np.float32(0.5)})
    said(source, "cell state is not")


def test_turns_that_a_later_cell_ends() -> None:
    first, states, tensors = cell("RNN", "A", "x_t", FEATURES)
    second, more, others = cell("RNN", "B", "hA1", H)
    go = [node("ReduceSum", "hB1", "total", keepdims=0), node("Less", "total most", "go")]
    source = looped([*first, *second], f"{states} {more}", "hB1", {**tensors, **others, "most": np.float32(1)}, go=go)
    said(source, "cell state is not")


def test_states_beyond_those_that_are_looked_at() -> None:
    made, names, tensors = cell("RNN", "A", "x_t", FEATURES)
    second, more, others = cell("RNN", "B", "hA1", H)
    idle = [f"idle{i}_" for i in range(64)]
    nodes = [*made, *second, *(node("Identity", name, f"{name}1") for name in idle)]
    said(looped(nodes, f"{names} {more} {' '.join(idle)}", "hB1", {**tensors, **others}), "cell state is not")


def random_stack(seed: int) -> Any:
    """Cells that read the step and any outputs of cells before them, put together or behind an operator."""
    rng = np.random.default_rng(seed)
    nodes, states, tensors, there = [], [], {}, [("x_t", FEATURES)]
    for tag in "ABC"[:rng.integers(2, 4)]:
        read = [there[i] for i in rng.choice(len(there), min(len(there), rng.integers(1, 3)), replace=False)]
        if len(read) > 1:
            nodes.append(node("Concat", " ".join(name for name, _ in read), f"in{tag}", axis=1))
        made, names, weights = cell(str(rng.choice(list(CELLS))), tag, f"in{tag}" if len(read) > 1 else read[0][0],
                                    sum(features for _, features in read))
        nodes += made
        states += names.split()
        tensors.update(weights)
        there.append((f"h{tag}1", H))
        if rng.random() < 0.4:
            nodes.append(node(str(rng.choice(["Relu", "Tanh", "Neg"])), f"h{tag}1", f"y{tag}"))
            there.append((f"y{tag}", H))
    rng.shuffle(states)
    results = dict.fromkeys(there[i][0] for i in rng.integers(1, len(there), 2))
    nodes += [node("Identity", name, f"out{i}") for i, name in enumerate(results)]
    return looped(nodes, " ".join(states), " ".join(f"out{i}" for i in range(len(results))), tensors)


def first_cell(source: Any) -> str:
    return next(kind for kind in kinds(imported(source)) if kind in CELLS)


@pytest.mark.parametrize("seed", range(24))
def test_random_stacks(seed: int) -> None:
    source = random_stack(seed)
    agrees(source, first_cell(source))
