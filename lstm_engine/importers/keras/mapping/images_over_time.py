"""ConvLSTM1D, 2D and 3D: an LSTM whose inputs and states are images, and whose products are convolutions.

    i, f, o = gate(W_ifo * x_t + b_ifo + R_ifo * h);  c = f c + i act(W_c * x_t + b_c + R_c * h);  h = o act(c)

(Shi et al. 2015, arXiv:1506.04214, without its peepholes, as Keras has it.) The convolution of the inputs has the
layer's strides, dilation and padding, that of h has none of these and keeps its size. All steps of the input go through
one convolution as rows; then the steps are written out where the model fixes their number, and are the turns of a loop
where it does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ....errors import FormatError, UnsupportedError
from ....graph import Loop, Value
from ....graph.activations import Activation
from ..reading.config import Layer
from .activations import activation
from .builder import Builder, Tensor
from .cells import Made
from .core import activate
from .registry import OWN, Arguments, Context, floats, maps, show
from .spatial import axes_of_space, channels_last, padding, sizes, windowed
from .weights import check_shape

KINDS = ("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
_GATES = 4


@dataclass(frozen=True, eq=False)
class _Cell:
    """kernel [4F, C, *window], recurrent [4F, F, *window], bias [4F]; gates in the order i, f, o, c."""

    filters: int
    window: tuple[int, ...]
    kernel: np.ndarray
    recurrent: np.ndarray
    bias: np.ndarray
    gate: Activation
    candidate: Activation


@maps(*KINDS, mask=OWN)
def images_over_time(context: Context, layer: Layer, arguments: Arguments) -> list[Tensor]:
    """One direction. States follow Keras: h, c."""
    backwards = layer.get("go_backwards", bool, False)
    x = images(context, layer, layer, arguments)
    made = run(context, layer, layer.where, x, arguments.states, backwards)
    states = made.states if layer.get("return_state", bool, False) else []
    if not layer.get("return_sequences", bool, False):
        return [made.last, *states]
    # Keras leaves the output of go_backwards in the order in which it was computed.
    return [context.builder.flip(made.sequence, layer.where) if backwards else made.sequence, *states]


def images(context: Context, layer: Layer, cell: Layer, arguments: Arguments) -> Tensor:
    """The input of a layer, or of one around it: [batch, time, *space, channels] in the format of `cell`.

    Raises UnsupportedError for masks, and for images whose size is open.
    """
    x = floats(context, layer, arguments, axes_of_space(cell) + 3)
    if arguments.mask is not None:
        raise UnsupportedError(f"{layer} of a masked input is not supported; supported: without masks")
    if not all(isinstance(size, int) for size in x.shape[2:]):
        raise UnsupportedError(f"{layer} of {show(x.shape)} is not supported; supported: fixed numbers of rows, "
                               "columns and channels. Build the model with keras.Input((None, rows, columns, "
                               "channels)) of them, and take the weights over with set_weights()")
    return x


def run(context: Context, layer: Layer, name: str, x: Tensor, states: list[Tensor], backwards: bool) -> Made:
    """Run a layer one way over x: the sequence aligned with x, the last output, and h and c, in the layer's format."""
    builder, count = context.builder, axes_of_space(layer)
    last_axis = channels_last(layer)
    layer.config.get("zero_output_for_mask")                       # of masked steps, and there are none
    window = sizes(layer, "kernel_size", count)
    cell = _cell(context, layer, window)
    steps, projected = x.shape[1], _projected(builder, layer, name, cell, x)
    shape = (x.shape[0], cell.filters, *projected.shape[3:])
    if steps == 0:
        raise UnsupportedError(f"{layer} of no steps is not supported")
    if states and len(states) != 2:
        raise FormatError(f"{layer} is called with {len(states)} initial states; expected 2")
    h, c = [_first(builder, layer, f"{name}/initial_{what}", state, shape, last_axis)
            for what, state in zip("hc", states)] or (None, None)
    h, c, sequence = (_written_out if isinstance(steps, int) else _looped)(context, name, cell, projected, h, c,
                                                                           backwards)

    def given(value: Tensor, called: str, first: int) -> Tensor:
        """A value whose channels stand on axis `first`, in the layer's format."""
        return _moved(builder, value, called, first, value.rank - 1) if last_axis else value

    last = given(h, f"{name}/last", 1)
    return Made(given(sequence, f"{name}/sequence", 2), last, [last, given(c, f"{name}/c", 1)])


def _written_out(context: Context, name: str, cell: _Cell, projected: Tensor, h: Tensor | None, c: Tensor | None,
                 backwards: bool) -> tuple[Tensor, Tensor, Tensor]:
    """h and c after the last step, and h of all steps [batch, time, F, *space]."""
    builder, steps, made = context.builder, projected.shape[1], list[Tensor]()
    assert isinstance(steps, int)
    for step in (range(steps - 1, -1, -1) if backwards else range(steps)):
        h, c = _step(context, f"{name}/step_{step}", cell, builder.step(projected, f"{name}/step_{step}/x", step), h, c)
        made.append(h)
    assert h is not None and c is not None
    axis, shape = np.array([1], np.int64), h.shape
    apart = [builder.operator("Unsqueeze", f"{name}/one", [one, axis], (shape[0], 1, *shape[1:]))
             for one in (reversed(made) if backwards else made)]
    return h, c, builder.operator("Concat", f"{name}/steps", apart, (shape[0], steps, *shape[1:]),
                                  attributes={"axis": 1})


def _looped(context: Context, name: str, cell: _Cell, projected: Tensor, h: Tensor | None, c: Tensor | None,
            backwards: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The same for any number of steps: they are the turns of a loop."""
    builder, inner = context.builder, Builder(context.builder.float_type)
    batch, steps, _, *space = projected.shape
    shape, dtype = (batch, cell.filters, *space), projected.dtype
    inner.given(Value("turn", (), "int64"))
    always = inner.given(Value("goes on", (), "bool"))
    own = [inner.given(Value(called, ("batch", *sizes_of[1:]), dtype)) for called, sizes_of in (
        ("h", shape), ("c", shape), ("x", (batch, *projected.shape[2:])))]
    after = _step(replace(context, builder=inner), "step", cell, own[2], own[0], own[1])
    body = inner.finish([*after, after[0]], {})
    body = replace(body, outputs=(always.name, *body.outputs))
    states = [state or builder.zeros(f"{name}/zeros", projected, shape[1:]) for state in (h, c)]
    outputs = [(f"{name}/{called}", sizes_of, dtype) for called, sizes_of in (
        ("h", shape), ("c", shape), ("steps", (batch, steps, *shape[1:])))]
    h, c, sequence = builder.add(Loop, f"{name}/loop", [None, None, *states, projected], outputs, body=body, states=2,
                                 sequence_axes=(1,), backwards=(int(backwards),), result_axes=(1,),
                                 turned=(int(backwards),))
    return h, c, sequence


def _cell(context: Context, layer: Layer, window: tuple[int, ...]) -> _Cell:
    """The arrays and activations of a layer, made once for one that is used several times."""
    if layer.path not in context.cache:
        filters, use_bias = layer.size("filters"), layer.get("use_bias", bool, True)
        kernel, recurrent, *rest = context.weights.take(layer, (2 + use_bias,), "cell", "")
        check_shape(layer, "kernel", kernel, *window, None, _GATES * filters)
        check_shape(layer, "recurrent_kernel", recurrent, *window, filters, _GATES * filters)
        bias = rest[0] if rest else np.zeros(_GATES * filters, kernel.dtype)
        check_shape(layer, "bias", bias, _GATES * filters)
        default = "sigmoid" if context.version.three else "hard_sigmoid"
        context.cache[layer.path] = _Cell(
            filters, window, _arranged(kernel, filters), _arranged(recurrent, filters), _in_order(bias, filters),
            activation(layer, context.version, "recurrent_activation", default, cell=True),
            activation(layer, context.version, "activation", "tanh", cell=True))
    cell: _Cell = context.cache[layer.path]
    return cell


def _in_order(array: np.ndarray, filters: int) -> np.ndarray:
    """Keras' gates i, f, c, o on the last axis as i, f, o, c: the three of one activation stand side by side."""
    i, f, c, o = (array[..., gate * filters:(gate + 1) * filters] for gate in range(_GATES))
    return np.concatenate([i, f, o, c], axis=-1)


def _arranged(kernel: np.ndarray, filters: int) -> np.ndarray:
    """[*window, in, 4F] as ONNX's [4F, in, *window]."""
    count = kernel.ndim - 2
    moved: np.ndarray = _in_order(kernel, filters).transpose(count + 1, count, *range(count))
    return np.ascontiguousarray(moved)


def _projected(builder: Builder, layer: Layer, name: str, cell: _Cell, x: Tensor) -> Tensor:
    """The inputs of all steps through their convolution: [batch, time, 4F, *space]."""
    count = len(cell.window)
    strides, dilations = sizes(layer, "strides", count), sizes(layer, "dilation_rate", count)
    same = padding(layer, "valid", "same") == "same"
    rows = builder.operator("Reshape", f"{name}/rows", [x, np.array([-1, *x.shape[2:]], np.int64)],
                            (builder.symbol(), *x.shape[2:]))
    if channels_last(layer):
        rows = _moved(builder, rows, f"{name}/channels_first", rows.rank - 1, 1)
    if rows.shape[1] != cell.kernel.shape[1]:
        raise FormatError(f"{layer}: its input has the shape {show(x.shape)}; its kernel takes {cell.kernel.shape[1]} "
                          "channels")
    attributes: dict[str, object] = {"strides": strides, "dilations": dilations, "kernel_shape": cell.window}
    if same:
        attributes["auto_pad"] = "SAME_UPPER"
    space = windowed(builder, rows.shape[2:], cell.window, strides, dilations, None if same else [0] * count)
    y = builder.operator("Conv", f"{name}/input", [rows, cell.kernel, cell.bias],
                         (rows.shape[0], cell.kernel.shape[0], *space), attributes=attributes)
    behind, split = np.array(y.shape[1:], np.int64), (x.shape[0], x.shape[1], *y.shape[1:])
    if isinstance(x.shape[1], int):
        return builder.operator("Reshape", f"{name}/projected", [y, np.array([-1, x.shape[1], *behind])], split)
    before = builder.operator("Shape", f"{name}/rows_and_steps", [x], (2,), "int64", {"start": 0, "end": 2})
    whole = builder.operator("Concat", f"{name}/split", [before, behind], (len(split),), "int64", {"axis": 0})
    return builder.operator("Reshape", f"{name}/projected", [y, whole], split)


def _step(context: Context, name: str, cell: _Cell, total: Tensor, h: Tensor | None, c: Tensor | None
          ) -> tuple[Tensor, Tensor]:
    """h and c after one step of the projected input; None before it: zeros."""
    builder, filters = context.builder, cell.filters
    if h is not None:
        product = builder.operator("Conv", f"{name}/h", [h, cell.recurrent], total.shape,
                                   attributes={"kernel_shape": cell.window, "auto_pad": "SAME_UPPER"})
        total = builder.operator("Add", f"{name}/sum", [total, product], total.shape)
    gates = activate(context, f"{name}/gates", builder.slice(total, f"{name}/ifo", 1, 0, 3 * filters), cell.gate)
    candidate = activate(context, f"{name}/candidate", builder.slice(total, f"{name}/g", 1, 3 * filters, 4 * filters),
                         cell.candidate)
    i, f, o = (builder.slice(gates, f"{name}/{gate}", 1, at * filters, (at + 1) * filters)
               for at, gate in enumerate("ifo"))
    new = builder.operator("Mul", f"{name}/new", [i, candidate], i.shape)
    if c is not None:
        kept = builder.operator("Mul", f"{name}/kept", [f, c], f.shape)
        new = builder.operator("Add", f"{name}/c", [kept, new], f.shape)
    bounded = activate(context, f"{name}/bounded", new, cell.candidate)
    return builder.operator("Mul", f"{name}/out", [o, bounded], o.shape), new


def _first(builder: Builder, layer: Layer, name: str, state: Tensor, shape: tuple[object, ...],
           last_axis: bool) -> Tensor:
    """An initial state, channels first. Raises FormatError for one of another shape."""
    moved = _moved(builder, state, name, state.rank - 1, 1) if last_axis and state.rank == len(shape) else state
    if moved.rank != len(shape) or any(isinstance(one, int) and one != other
                                       for one, other in zip(moved.shape[1:], shape[1:])):
        raise FormatError(f"{layer}: an initial state has the shape {show(state.shape)}; its steps, channels first, "
                          f"have [{', '.join(map(str, shape))}]")
    return builder.as_float(moved, name)


def _moved(builder: Builder, x: Tensor, name: str, axis: int, to: int) -> Tensor:
    """x with one of its axes at another place."""
    axes = [old for old in range(x.rank) if old != axis]
    axes.insert(to, axis)
    return builder.operator("Transpose", name, [x], [x.shape[old] for old in axes], attributes={"perm": tuple(axes)})
