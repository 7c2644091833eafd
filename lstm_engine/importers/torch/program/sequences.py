"""Packed sequences: what `packed` has traced, read as layers over padded steps that know the lengths.

A packed sequence of torch holds no padding. Here it is the padded steps and the length of each row; recurrent layers
stop at the lengths, and what is past them is put right when it is padded again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from .arguments import Arguments, Opaque
from .emit import Emitter, Length, Size, Tensor
from .guards import combined, compared
from .rearranging import counted
from .recurrent import OWN, stack
from .registry import aten

new = partial(aten, fresh=True)


@dataclass(frozen=True, eq=False)
class Packed(Opaque):
    """The steps of a packed sequence, [time, batch, ...], and how many each row has, int64 [batch].

    longest: the greatest length, and the name of its symbol. zero: whether what is past the lengths is 0.
    """

    x: Tensor
    lengths: Tensor
    longest: Size
    zero: bool

    kind = "packed sequences, other than given to recurrent layers and pad_packed_sequence,"

    def size(self, e: Emitter, axis: int) -> Length:
        """Of the tensor that torch has: all steps of all rows, then the features."""
        if axis:
            return e.size(self.x, axis + 1)
        return Size(e.op("ReduceSum", self.lengths, e.integers(0), keepdims=1).name)


@new(f"{OWN}pack.default")
def _pack(e: Emitter, a: Arguments) -> list[Any]:
    x, lengths = a.tensor("input"), a.tensor("lengths")
    if x.rank < 2 or lengths.rank != 1 or lengths.dtype != "int64":
        a.wrong(f"{x.rank} axes with lengths {lengths.dtype} of {lengths.rank}")
    x = e.swap(x, 0, 1) if a.flag("batch_first") else x
    greatest = e.op("ReduceMax", lengths, e.integers(0), keepdims=1)
    least = e.op("ReduceMin", lengths, e.integers(0), keepdims=0)
    longest = Size(greatest.name, greatest.name)
    e.require("the lengths of packed sequences are 1 or more",
              e.op("GreaterOrEqual", least, e.constant(1, "int64")))
    e.require("the lengths of packed sequences are at most the number of steps",
              compared(e, "le", longest, e.size(x, 0)))
    steps = e.op("Range", e.constant(0, "int64"), e.squeeze(greatest, 0), e.constant(1, "int64"))
    alive = e.cast(e.op("Greater", lengths, e.unsqueeze(steps, 1)), "int64")
    sizes = e.op("ReduceSum", alive, e.integers(1), keepdims=0)
    shape = sizes.shape if sizes.array is not None else (longest.name,)
    return [Packed(x, lengths, longest, False), Tensor(sizes.name, shape, "int64", sizes.array)]


def _packed(a: Arguments, name: str) -> Packed:
    value = a.any(name)
    return value if isinstance(value, Packed) else a.wrong(f"argument {name!r} must be a packed sequence")


def _layers(op: str, activation: str = "") -> Any:
    def write(e: Emitter, a: Arguments) -> list[Any]:
        packed, states = _packed(a, "data"), a.tensors("hx")
        a.ignore("sizes")
        if len(states) != (2 if op == "LSTM" else 1):
            a.wrong(f"{len(states)} states")
        y, *ends = stack(e, a, op, packed.x, states, activation, e.cast(packed.lengths, "int32"))
        return [Packed(y, packed.lengths, packed.longest, True), *ends]
    return write


for _name, _op, _activation in (("lstm", "LSTM", ""), ("gru", "GRU", ""), ("rnn_tanh", "RNN", ""),
                                ("rnn_relu", "RNN", "Relu")):
    new(f"{OWN}packed_{_name}.default")(_layers(_op, _activation))


@new(f"{OWN}pad.default")
def _pad(e: Emitter, a: Arguments) -> list[Tensor]:
    packed, total = _packed(a, "data"), a.size("total_length")
    fill = a.number("padding_value")
    a.ignore("sizes", "rows")
    x = packed.x
    if fill or not packed.zero:
        inside = e.op("Less", e.unsqueeze(counted(e, e.size(x, 0)), 1), packed.lengths)
        inside = e.unsqueeze(inside, *range(2, x.rank)) if x.rank > 2 else inside
        made = e.op("Where", inside, x, e.constant(fill, x.dtype))
        x = Tensor(made.name, x.shape, x.dtype, made.array)
    x = _to_length(e, x, total, packed.longest)
    return [e.swap(x, 0, 1) if a.flag("batch_first") else x, packed.lengths]


def _to_length(e: Emitter, x: Tensor, total: Length, longest: Size) -> Tensor:
    """As many steps as are asked for: those that x has, those of the longest row, or a number of its own."""
    if total == x.shape[0] or (isinstance(total, Size) and total.symbol == x.shape[0]):
        return x
    cut = e.slice(x, 0, 0, total)
    if isinstance(total, Size) and total.symbol == longest.name:
        return Tensor(cut.name, (longest.name, *x.shape[1:]), x.dtype, cut.array)
    e.require("total_length is at least the longest of the packed sequences", compared(e, "le", longest, total))
    missing = combined(e, "Sub", total, e.size(cut, 0))
    made = e.op("Pad", cut, e.lengths([0, missing]), None, e.integers(0), mode="constant")
    return Tensor(made.name, (*e.dims([total]), *x.shape[1:]), x.dtype, made.array)
