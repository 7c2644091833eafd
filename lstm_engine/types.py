"""Names of types: what callers may choose from, what calls take and give. Every part may import them; they import none.

    from lstm_engine.types import Array, Outputs, States
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypedDict

import numpy as np

Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[Any]]

# ---- what callers choose from; what is checked when a program runs reads the same names -----------------------------

Gemm: TypeAlias = Literal["packed", "blas"]
Dtype: TypeAlias = Literal["float32", "float64"]
QuantizedType: TypeAlias = Literal["int8", "int8_weights", "bfloat16", "float16"]
WeightType: TypeAlias = Literal["float32", "int8", "int8_weights", "bfloat16", "float16"]
WeightDtype: TypeAlias = Literal["float32", "float64", "int8", "int8_weights", "bfloat16", "float16", "mixed"]
NanMode: TypeAlias = Literal["propagate", "error", "mask"]
PoolKind: TypeAlias = Literal["last", "mean", "max"]
Direction: TypeAlias = Literal["forward", "reverse", "bidirectional"]
PeepholeOutput: TypeAlias = Literal["current", "previous"]
Side: TypeAlias = Literal["left", "right"]
PoolReading: TypeAlias = Literal["last", "step", "state", "mean", "max", "none"]        # of weights alone, in `convert`
Layout: TypeAlias = Literal[0, 1]                   # of ONNX's recurrent operators
Switch: TypeAlias = bool | Literal[0, 1]            # an attribute of ONNX that is 0 or 1


# ---- what calls take ------------------------------------------------------------------------------------------------

class SupportsRead(Protocol):
    """A binary file that is open: `open(path, "rb")`, io.BytesIO, a member of an archive, the body of an answer."""

    def read(self, count: int, /) -> bytes: ...


# A model's file: its path, its bytes, or the file open.
ModelSource: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | SupportsRead


class SupportsArray(Protocol):
    """An array of NumPy, or what NumPy makes one of: a tensor, a column of a table."""

    def __array__(self) -> np.ndarray: ...


# One input: an array, or a list of numbers, of lists, or of arrays of any lengths.
Input: TypeAlias = SupportsArray | Sequence[Any]
# By name.
Inputs: TypeAlias = Mapping[str, Input]
# Whole numbers [batch]; by input name where the model has several time axes.
Lengths: TypeAlias = Input | Inputs
# By layer: {"h": [batch, dirs, hidden], "c": [batch, dirs, hidden] of an LSTM}.
States: TypeAlias = dict[str, dict[str, Array]]


class PredictOptions(TypedDict, total=False):
    """What `Model.predict` takes by name, whatever its input is."""

    batch_size: int | None
    progress: bool
    out: np.ndarray | Mapping[str, np.ndarray] | None
    threads: int | None
    initial_state: Mapping[str, Mapping[str, np.ndarray]] | None
    nan: NanMode


# ---- what calls give ------------------------------------------------------------------------------------------------

# The output of a model of one, or the outputs of one of several by name.
Arrays: TypeAlias = Array | dict[str, Array]
# The output of a `predict` on a list: a list again where the output is a sequence.
Listed: TypeAlias = Array | list[Array]
# All that `predict` may give for inputs by name.
Outputs: TypeAlias = Arrays | Listed | dict[str, Listed]
