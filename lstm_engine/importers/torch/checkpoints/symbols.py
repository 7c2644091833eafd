"""What an unpickled torch file is made of, beside plain Python data: names and records, nothing that runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from ....errors import FormatError
from ...reading.weights import check_shape

# Storage class or torch dtype -> (name of the dtype, bytes). What is not here has no plain array form.
DTYPES: dict[str, tuple[str, int]] = {
    "FloatStorage": ("float32", 4), "DoubleStorage": ("float64", 8), "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2), "LongStorage": ("int64", 8), "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2), "CharStorage": ("int8", 1), "ByteStorage": ("uint8", 1), "BoolStorage": ("bool", 1),
    "QInt8Storage": ("int8", 1), "QUInt8Storage": ("uint8", 1), "QInt32Storage": ("int32", 4),
    "UntypedStorage": ("bytes", 1), "ComplexFloatStorage": ("complex64", 8),
    "ComplexDoubleStorage": ("complex128", 16), "float32": ("float32", 4), "float": ("float32", 4),
    "float64": ("float64", 8), "double": ("float64", 8), "float16": ("float16", 2), "half": ("float16", 2),
    "bfloat16": ("bfloat16", 2), "int64": ("int64", 8), "int32": ("int32", 4), "int16": ("int16", 2),
    "int8": ("int8", 1), "uint8": ("uint8", 1), "uint16": ("uint16", 2), "uint32": ("uint32", 4),
    "uint64": ("uint64", 8), "bool": ("bool", 1), "complex64": ("complex64", 8), "complex128": ("complex128", 16),
    "float8_e4m3fn": ("float8_e4m3fn", 1), "float8_e5m2": ("float8_e5m2", 1),
}


@dataclass(frozen=True)
class Symbol:
    """A global that the pickle names. It is a name and stays one: nothing is looked up or imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True)
class Storage:
    """A run of bytes in the file: record `key`, `size` bytes of it from `start` on, of items of `dtype`."""

    key: str
    dtype: str
    itemsize: int
    size: int
    start: int = 0


@dataclass(frozen=True)
class Tensor:
    """A view of a storage; `offset` and `strides` count items of `dtype`. kind: its class, if that is not torch's and
    so may make something else of the numbers. quantised: what its numbers are made of, where the file has others."""

    storage: Storage
    dtype: str
    itemsize: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    kind: str = ""
    quantised: Quantised | None = None

    @property
    def count(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Quantised:
    """A quantised tensor: its whole numbers, and the scale and zero of all of them, or tensors with those of each place
    of an axis."""

    tensor: Tensor
    scale: Any
    zero: Any
    axis: int | None = None


@dataclass(eq=False, repr=False)
class Instance:
    """An object of a class that was not looked up: what the file says of it is data.

    arguments of its creation, `state` as BUILD gives it, `entries` and `elements` if its class is a dict or list.
    called: it is what a call gives, which can be anything that the code behind the name makes of its arguments.
    """

    symbol: Symbol
    arguments: tuple[Any, ...] = ()
    state: Any = None
    entries: dict[Any, Any] = field(default_factory=dict)
    elements: list[Any] = field(default_factory=list)
    called: bool = False


@dataclass(eq=False)
class Key:
    """A key of a dict that is no plain value: a tuple, an object. Only itself is equal to it, for hashing what a file
    nests can take exponential time."""

    kind: str

    def __str__(self) -> str:
        return f"<{self.kind}>"


@dataclass(eq=False, repr=False)
class Opaque:
    """A value of a known kind that holds no weights and is not needed: a NumPy scalar, a path, a date."""

    symbol: Symbol


def view(storage: Storage, dtype: str, itemsize: int, offset: int, shape: tuple[int, ...],
         strides: tuple[int, ...]) -> Tensor:
    """A checked view. Raises FormatError if it would read outside its storage or hold more items than it."""
    check_shape(shape, "a tensor")
    if len(strides) != len(shape):
        raise FormatError(f"a tensor of shape {list(shape)} with {len(strides)} strides")
    items = storage.size // itemsize
    tensor = Tensor(storage, dtype, itemsize, offset, shape, strides)
    if not tensor.count:
        return tensor
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if last >= items:
        raise FormatError(f"a tensor of shape {list(shape)}, strides {list(strides)} and offset {offset} reads "
                          f"item {last} of storage {storage.key!r:.100}, which has {items}")
    if tensor.count > items:
        raise FormatError(f"a tensor of shape {list(shape)} and strides {list(strides)} has more items than "
                          f"storage {storage.key!r:.100}, which has {items}")
    return tensor
