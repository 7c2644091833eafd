"""Packed sequences in a script: torch's operators of them as those of ours that `program.sequences` reads.

torch asks the numbers of `batch_sizes` for the number of rows; here that is known from what was packed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..program.schema import Ref
from ..program.sequences import Packed
from .values import Number

if TYPE_CHECKING:
    from .operators import Operators

_LAYERS = {"lstm": 3, "gru": 2, "rnn_tanh": 2, "rnn_relu": 2}           # results of each
_LAYER = ("data", "sizes", "hx", "params", "has_biases", "num_layers", "dropout", "train", "bidirectional")


def dtype_of(value: Any) -> str:
    """The dtype of a tensor, or of the steps of a packed sequence; "" of anything else."""
    return str(getattr(getattr(value, "x", value), "dtype", ""))


def call(run: Operators, word: str, given: list[Any]) -> tuple[Any] | None:
    """(what a call makes,), None where it is of no packed sequence."""
    first = given[0] if given else None
    if not isinstance(first, Ref):
        return None
    if word == "_pack_padded_sequence" and len(given) == 3 and isinstance(given[2], bool):
        rows = run.size(first, 0 if given[2] else 1)
        made = run.emit("lstm_engine.pack.default", dict(zip(("input", "lengths", "batch_first"), given, strict=True)),
                        ("Tensor", "Tensor"), "packed")
        run.rows[made[1].name] = rows
        return (made,)
    if word == "select" and first.name in run.rows and given[1:] == [0, 0]:
        return (Number(run.rows[first.name]),)
    value = run.writer.value(first)
    if not isinstance(value, Packed):
        return None
    shape = (None, *value.x.shape[2:])              # torch has all steps of all rows on one axis
    if word == "dim" and len(given) == 1:
        return (len(shape),)
    if word == "size" and len(given) == 2 and given[1] in (-1, len(shape) - 1) and isinstance(shape[-1], int):
        return (shape[-1],)
    if word in _LAYERS and len(given) == len(_LAYER):
        states = given[2] if isinstance(given[2], list) else [given[2]]
        arguments = dict(zip(_LAYER, [*given[:2], states, *given[3:]], strict=True))
        return (run.emit(f"lstm_engine.packed_{word}.default", arguments, ("Tensor",) * _LAYERS[word], word),)
    if word == "_pad_packed_sequence" and len(given) == 5 and isinstance(given[1], Ref) and given[1].name in run.rows:
        names = ("data", "sizes", "batch_first", "padding_value", "total_length")
        arguments = dict(zip(names, given, strict=True)) | {"rows": run.rows[given[1].name]}
        return (run.emit("lstm_engine.pad.default", arguments, ("Tensor", "Tensor"), "padded"),)
    return None
