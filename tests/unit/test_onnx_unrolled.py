"""LSTM cells written out in primitives: found whatever their order, left alone where they are something else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_graphs import check, kinds, model, node

pytest.importorskip("onnx")
RNG = np.random.default_rng(0)
H, I = 3, 4  # noqa: E741  (the names of the equations)
INPUTS = {"x": ("batch", I), "h": ("batch", H), "c": ("batch", H)}
FEEDS = {"x": RNG.standard_normal((2, I)).astype(np.float32), "h": RNG.standard_normal((2, H)).astype(np.float32),
         "c": RNG.standard_normal((2, H)).astype(np.float32)}
TENSORS = {"W": RNG.standard_normal((I, 4 * H)).astype(np.float32),
           "R": RNG.standard_normal((H, 4 * H)).astype(np.float32), "b": RNG.standard_normal(4 * H).astype(np.float32),
           "forget_bias": np.float32(1)}
# float32 sums of a few terms near 1, against float64.
TOLERANCE = 1e-6


def cell(gates: str = "ifgo", swap: bool = False, inner: str = "Sigmoid", new: str = "Tanh", outer: str = "Tanh",
         forget_bias: bool = False, extra: list | None = None, outputs: str = "hn cn",
         sigmoids: dict | None = None) -> Any:
    """One written-out cell. gates: their order in the split; swap: factors and summands the other way round."""
    def two(a: str, b: str) -> str:
        return f"{b} {a}" if swap else f"{a} {b}"
    functions = {"i": inner, "f": inner, "o": inner, "g": new, **(sigmoids or {})}
    split = " ".join(f"s{gate}" for gate in gates)
    nodes = [node("MatMul", "x W", "xw"), node("MatMul", "h R", "hr"), node("Add", two("xw", "hr"), "sum"),
             node("Add", two("sum", "b"), "all"), node("Split", "all", split, axis=-1, num_outputs=4)]
    for gate in "ifog":
        source = f"s{gate}"
        if gate == "f" and forget_bias:
            nodes.append(node("Add", "sf forget_bias", "sfb"))
            source = "sfb"
        nodes.append(node(functions[gate], source, gate))
    nodes += [node("Mul", two("f", "c"), "kept"), node("Mul", two("i", "g"), "added"),
              node("Add", two("kept", "added"), "cn"), node(outer, "cn", "squashed"),
              node("Mul", two("o", "squashed"), "hn")]
    return model(nodes + (extra or []), INPUTS, outputs, TENSORS)


@pytest.mark.parametrize("options", [
    {}, {"gates": "iofg"}, {"gates": "gfio"}, {"swap": True}, {"swap": True, "gates": "ofgi"}, {"forget_bias": True},
    {"inner": "HardSigmoid"}, {"new": "Relu", "outer": "Softsign"}, {"new": "Sigmoid"},
], ids=str)
def test_found(options: dict) -> None:
    made = check(cell(**options), FEEDS, TOLERANCE)
    assert kinds(made) == ["Unsqueeze", "LSTM"] and made.nodes[1].inputs[2:] == ("h", "c")


def test_functions_are_kept() -> None:
    made = check(cell(inner="HardSigmoid", new="Relu", outer="Softsign"), FEEDS, TOLERANCE)
    assert [str(f) for f in made.nodes[1].activations[0]] == ["hard_sigmoid(0.2, 0.5)", "relu", "softsign"]


def test_states_may_be_read_further() -> None:
    extra = [node("Relu", "hn", "r"), node("Neg", "cn", "n")]
    made = check(cell(extra=extra, outputs="hn cn r n"), FEEDS, TOLERANCE)
    assert kinds(made) == ["Unsqueeze", "LSTM", "Activate", "Neg"]


def test_two_cells_in_a_row() -> None:
    second = [node("MatMul", "hn R", "xw2"), node("MatMul", "h R", "hr2"), node("Add", "xw2 hr2", "all2"),
              node("Split", "all2", "si2 sf2 sg2 so2", axis=-1, num_outputs=4), node("Sigmoid", "si2", "i2"),
              node("Sigmoid", "sf2", "f2"), node("Tanh", "sg2", "g2"), node("Sigmoid", "so2", "o2"),
              node("Mul", "f2 c", "kept2"), node("Mul", "i2 g2", "added2"), node("Add", "kept2 added2", "cn2"),
              node("Tanh", "cn2", "squashed2"), node("Mul", "o2 squashed2", "hn2")]
    made = check(cell(extra=second, outputs="hn cn hn2 cn2"), FEEDS, TOLERANCE)
    assert kinds(made) == ["Unsqueeze", "LSTM", "Unsqueeze", "LSTM"]
    assert made.nodes[3].inputs[2] == "h"       # the layer that reads a given state is taken for the recurrent one


@pytest.mark.parametrize("options", [
    {"extra": [node("Relu", "sf", "r")], "outputs": "hn cn r"},         # a gate that is read elsewhere too
    {"outputs": "hn cn kept"},
    {"outputs": "hn cn sum"},
    {"sigmoids": {"i": "Relu"}},                                        # gates with functions of their own
    {"sigmoids": {"o": "Tanh"}},
    {"outer": "Neg"},
], ids=str)
def test_left_alone(options: dict) -> None:
    assert "LSTM" not in kinds(check(cell(**options), FEEDS, TOLERANCE))


def test_a_state_of_another_size_is_left_alone() -> None:
    """c of one row is spread over all rows: no state of an LSTM."""
    source = cell()
    source.graph.input[2].type.tensor_type.shape.dim[0].dim_value = 1
    made = check(source, {**FEEDS, "c": FEEDS["c"][:1]}, TOLERANCE)
    assert "LSTM" not in kinds(made)


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
def test_torch_cells(dynamo: bool) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    import torch_onnx

    class Cell(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = torch.nn.LSTMCell(I, H)

        def forward(self, x, h, c):
            return self.cell(x, (h, c))

    torch.manual_seed(0)
    batch = {name: {0: "batch"} for name in INPUTS}
    examples = [torch.randn(3, size) for size in (I, H, H)]
    source = torch_onnx.export(Cell(), examples, list(INPUTS), ["hn", "cn"], batch, dynamo)
    made = check(source, FEEDS, TOLERANCE)
    assert kinds(made) == ["Unsqueeze", "LSTM"]
