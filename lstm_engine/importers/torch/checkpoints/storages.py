"""Bytes of storages to arrays: views, strides, byte order; each storage is read once and let go after its last view."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal

import numpy as np

from ....errors import FormatError
from ...reading.weights import Entry
from .quantised import dequantised
from .symbols import Storage, Tensor

MAX_SHARING = 4            # all views together may hold this many times the bytes that the storages have
FREE_BYTES = 1 << 20


class Storages:
    """Reads tensors. `load` gives the bytes of a storage by key: `size` of them were promised when it was opened.

    scales: those of the quantised tensors that were read so far.
    """

    def __init__(self, load: Callable[[str], bytes | memoryview], big_endian: bool = False) -> None:
        self.scales: list[np.ndarray] = []
        self._load = load
        self._order: Literal["<", ">"] = ">" if big_endian else "<"
        self._open: dict[str, bytes | memoryview] = {}
        self._waiting: Counter[str] = Counter()

    def entries(self, tensors: dict[str, Tensor]) -> dict[str, Entry]:
        """The tensors by name, to be loaded on demand.

        Raises FormatError if overlapping views add up to far more bytes than the file has.
        """
        read = [one for tensor in tensors.values() for one in (tensor, *_beside(tensor))]
        check_sharing(read)
        self._waiting = Counter(tensor.storage.key for tensor in read)
        return {name: Entry(tensor.shape, tensor.dtype, partial(self.array, tensor))
                for name, tensor in tensors.items()}

    def array(self, tensor: Tensor) -> np.ndarray:
        """A C-contiguous array in native byte order; bfloat16 comes as uint16. The view was checked when made."""
        if tensor.quantised is not None:
            made, scale = dequantised(self.array(tensor.quantised.tensor), tensor.quantised, self.array)
            self.scales.append(scale)
            return made
        key = tensor.storage.key
        data = self._open[key] if key in self._open else self._load(key)
        self._waiting[key] -= 1
        if self._waiting[key] > 0:
            self._open[key] = data
        else:
            self._open.pop(key, None)
        dtype = np.dtype("uint16" if tensor.dtype == "bfloat16" else tensor.dtype)
        start = tensor.storage.start + tensor.offset * tensor.itemsize
        strides = [stride * tensor.itemsize for stride in tensor.strides]
        viewed = np.ndarray(tensor.shape, dtype.newbyteorder(self._order), data, start if tensor.count else 0, strides)
        whole = tensor.count * tensor.itemsize == len(data)
        array = np.ascontiguousarray(viewed, dtype) if whole else np.array(viewed, dtype, order="C")
        return array.reshape(tensor.shape)          # ascontiguousarray makes a scalar one-dimensional


def _beside(tensor: Tensor) -> tuple[Tensor, ...]:
    """The scales and zeros that are tensors."""
    said = tensor.quantised
    return () if said is None or said.axis is None else (said.scale, said.zero)


def check_sharing(tensors: Iterable[Tensor]) -> None:
    """Raise FormatError if many views of few bytes would take far more memory than the file."""
    listed = list(tensors)
    needed = sum(tensor.count * tensor.itemsize for tensor in listed)
    stored = sum({(t.storage.key, t.storage.start): t.storage.size for t in listed}.values())
    if needed > FREE_BYTES + MAX_SHARING * stored:
        raise FormatError(f"{len(listed)} tensors of {needed} bytes in all share {stored} stored bytes")


def storage(key: str, dtype: str, itemsize: int, declared: object, available: int) -> Storage:
    """A storage whose declared count of items is what the file has for it. Raises FormatError if it differs."""
    if type(declared) is not int or declared < 0 or declared * itemsize != available:
        raise FormatError(f"storage {key[:60]!r} is said to have {declared if type(declared) is int else '?'} items of "
                          f"{itemsize} bytes, its record has {available} bytes")
    return Storage(key, dtype, itemsize, available)
