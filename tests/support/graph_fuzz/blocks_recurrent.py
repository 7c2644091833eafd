"""Recurrent nodes of a random graph: kinds, directions, activations, lengths, and where their states come from."""

from __future__ import annotations

from typing import Any

from .builder import Builder
from .case import Dim, Tensor

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
FUNCTIONS = {"LSTM": 3, "GRU": 2, "RNN": 1}        # how many activations each direction has
# Those with a default alpha that ONNX Runtime and the standard agree on, or none.
ACTIVATIONS = ("Sigmoid", "Tanh", "Relu", "Softsign", "Softplus", "HardSigmoid", "Elu", "LeakyRelu")


def recurrent(g: Builder) -> None:
    """One recurrent node on a value of rank 3, read as [time, batch, features]."""
    x = g.pick(lambda t: t.dtype in ("float32", "float64") and len(t.dims) == 3 and isinstance(t.dims[2], int)
               and t.dims[2] <= 24 and not t.role.startswith("normal:"))
    if x is None:
        return
    if (g.stepwise or g.chance(0.5)) and isinstance(x.dims[0], str) and x.dims[0].startswith("B"):
        x = g.transpose(x, [1, 0, 2])
    batchwise = g.opset >= 14 and g.chance(0.15)
    time, batch, features = x.dims if not batchwise else (x.dims[1], x.dims[0], x.dims[2])
    assert isinstance(features, int)
    kind, hidden = g.one(list(GATES)), g.whole(1, 9)
    direction = g.one(["forward", "forward", "reverse", "bidirectional"])
    if g.stepwise and g.chance(0.7):
        direction = "forward"
    dirs, gates = 2 if direction == "bidirectional" else 1, GATES[kind]
    attributes: dict[str, Any] = dict(hidden_size=hidden)
    if direction != "forward" or g.chance(0.5):
        attributes["direction"] = direction
    if g.chance(0.15):
        attributes["activations"] = [g.one(ACTIVATIONS) for _ in range(FUNCTIONS[kind] * dirs)]
    if batchwise:
        attributes["layout"] = 1
    if kind == "GRU" and g.chance(0.6):
        attributes["linear_before_reset"] = g.whole(0, 1)
    if kind != "LSTM" and g.chance(0.1):
        attributes["clip"] = float(g.one([0.3, 1.0, 2.5]))
    if kind == "LSTM" and g.chance(0.05):
        attributes["input_forget"] = 1
    scale, dtype = 1.0 / (1 + features ** 0.5), x.dtype
    given = 0.3 if g.stepwise else 1.0              # how often a stepwise graph has lengths and states of its own
    inputs: list[Any] = [x, g.weight(dirs, gates * hidden, features, dtype=dtype, scale=2 * scale),
                         g.weight(dirs, gates * hidden, hidden, dtype=dtype, scale=1 / (1 + hidden ** 0.5)),
                         g.weight(dirs, 2 * gates * hidden, dtype=dtype, scale=0.4) if g.chance(0.8) else "",
                         _lengths(g, time, batch) if g.chance(0.25 * given) else "",
                         _state(g, dirs, batch, hidden, batchwise, dtype) if g.chance(0.45 * given) else ""]
    if kind == "LSTM":
        inputs.append(_state(g, dirs, batch, hidden, batchwise, dtype) if g.chance(0.3 * given) else "")
        inputs.append(g.weight(dirs, 3 * hidden, dtype=dtype, scale=0.4) if g.chance(0.2) else "")
    while inputs[-1] == "" and g.chance(0.8):
        inputs.pop()
    while len(inputs) > 3 and inputs[-1] == "":
        inputs.pop()
    state = (batch, dirs, hidden) if batchwise else (dirs, batch, hidden)
    sequence = (batch, time, dirs, hidden) if batchwise else (time, dirs, batch, hidden)
    shapes: list[tuple[Dim, ...] | None] = [sequence, state, state][:3 if kind == "LSTM" else 2]
    wanted = [g.chance(p) for p in (0.85, 0.4, 0.25)][:len(shapes)]
    wanted[0] |= not any(wanted)
    y = g.add(kind, inputs, *[dims if want else None for dims, want in zip(shapes, wanted)], dtype=dtype,
              **attributes)
    if wanted[0]:
        _flatten(g, y[0], batchwise)


def _flatten(g: Builder, y: Tensor, batchwise: bool) -> None:
    """Y as exporters go on with it: without the axis of directions, in one order or the other."""
    axis = 2 if batchwise else 1
    if y.dims[axis] == 1 and g.chance(0.7):
        flat = g.squeeze(y, axis)
    elif batchwise:
        flat = g.op("Reshape", [y, g.ints(0, 0, -1)],
                    (*y.dims[:2], y.dims[2] * y.dims[3]), y.dtype)                          # type: ignore[operator]
    else:
        turned = g.transpose(y, [0, 2, 1, 3])
        flat = g.op("Reshape", [turned, g.ints(0, 0, -1)],
                    (*turned.dims[:2], y.dims[1] * y.dims[3]), y.dtype)                     # type: ignore[operator]
    if g.chance(0.4):
        g.transpose(flat, [1, 0, 2])


def _lengths(g: Builder, time: Dim, batch: Dim) -> str:
    """Steps of each row, int32: an input, one that is computed from an input, a constant, or all steps."""
    known = g.pick(lambda t: t.role == f"lengths:{time}" and t.dims == (batch,) and t.dtype == "int32")
    if known is not None and g.chance(0.5):
        return known.name
    if isinstance(batch, int) and isinstance(time, int) and g.chance(0.4):
        return g.const(g.rng.integers(1, time + 1, batch), "int32")
    if g.chance(0.25):
        low = g.input("int64", (batch,), f"lengths:{time}")
        return g.op("Cast", [low], (batch,), "int32", to=6).name
    if g.chance(0.2):
        low = g.input("float32", (batch, time))
        mask = g.op("Greater", [low, g.const(-0.3)], (batch, time), "bool")
        steps = g.op("Cast", [mask], (batch, time), "float32", to=1)
        total = g.axes_op("ReduceSum", steps, [1], (batch,), 13, keepdims=0)
        return g.op("Cast", [total], (batch,), "int32", to=6).name
    return g.input("int32", (batch,), f"lengths:{time}").name


def _state(g: Builder, dirs: int, batch: Dim, hidden: int, batchwise: bool, dtype: str) -> str:
    """A first state: an input, another node's, made by a layer from features, zeros of a computed shape, a constant."""
    dims = (batch, dirs, hidden) if batchwise else (dirs, batch, hidden)
    known = g.pick(lambda t: t.dims == dims and t.dtype == dtype)
    if known is not None and g.chance(0.6):
        return known.name
    if dtype != "float32":
        return g.input(dtype, dims).name
    rows = g.pick(lambda t: t.dtype == "float32" and len(t.dims) == 2 and t.dims[0] == batch
                  and isinstance(t.dims[1], int))
    if rows is None and g.chance(0.4):
        rows = g.input("float32", (batch, g.whole(1, 6)))
    if rows is not None and g.chance(0.7):
        width = rows.dims[1]
        assert isinstance(width, int)
        made = g.op("MatMul", [rows, g.weight(width, dirs * hidden, scale=0.5)], (batch, dirs * hidden))
        if g.chance(0.5):
            made = g.op("Tanh", [made], made.dims)
        if dirs == 1 and g.chance(0.6):
            return g.unsqueeze(made, 1 if batchwise else 0).name
        split = g.op("Reshape", [made, g.ints(0 if g.chance(0.5) else -1, dirs, hidden)], (batch, dirs, hidden))
        return split.name if batchwise else g.transpose(split, [1, 0, 2]).name
    if isinstance(batch, int) and g.chance(0.5):
        return g.weight(*dims, scale=0.5)                       # type: ignore[arg-type]
    if g.opset >= 9 and g.chance(0.3):
        source = g.pick(lambda t: batch in t.dims)
        if source is not None:
            return _zeros_like(g, source, dims, batch)
    return g.input("float32", dims).name


def _zeros_like(g: Builder, source: Tensor, dims: tuple[Dim, ...], batch: Dim) -> str:
    """Numbers of a shape that the graph computes from another value's."""
    from onnx import helper

    shape = g.op("Shape", [source], (len(source.dims),), "int64")
    rows = g.op("Gather", [shape, g.ints(source.dims.index(batch))], (1,), "int64", axis=0)
    parts = [rows if dim == batch else g.ints(dim) for dim in dims]     # type: ignore[arg-type]
    target = g.op("Concat", parts, (3,), "int64", axis=0)
    value = helper.make_tensor(g.name("v"), 1, [1], [float(g.one([0.0, 0.0, 0.5, -1.0]))])
    return g.op("ConstantOfShape", [target], dims, value=value).name
