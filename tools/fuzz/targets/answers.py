"""What a parser's process answers, made in this process, so that the parent's side can be executed thousands of times a
second: a header in JSON, and behind it arrays of made-up numbers in the shapes that the header names."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import numpy as np

from lstm_engine.importers.reading import sandbox

MOST = 1 << 20              # bytes of arrays of one answer


def pipe_of(header: bytes) -> io.BytesIO:
    """The whole answer of a child with this header, up to the first array that cannot be."""
    parts = [sandbox.MAGIC, len(header).to_bytes(8, "little"), header]
    for count in _sizes(header):
        parts += [b"\1", _numbers(count)]
    return io.BytesIO(b"".join([*parts, sandbox.MAGIC]))


def read(header: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    """What the parent makes of such an answer. Raises sandbox.Nonsense, sandbox.Refusal."""
    return sandbox.read_answer(pipe_of(header), MOST)  # type: ignore[arg-type]


def header_of(result: dict, arrays: dict[str, Any]) -> bytes:
    """The header by which a child announces a result and arrays."""
    entries = [(name, np.dtype(array.dtype).name, list(map(int, array.shape))) for name, array in arrays.items()]
    return json.dumps({"result": result, "arrays": entries}).encode()


def _sizes(header: bytes) -> list[int]:
    """Bytes of each array that a header announces, up to the first that cannot be."""
    sizes: list[int] = []
    try:
        for _, dtype, shape in json.loads(header)["arrays"]:
            if dtype not in sandbox.DTYPES or any(type(size) is not int or size < 0 for size in shape) \
                    or sum(sizes) + math.prod(shape) * np.dtype(dtype).itemsize > MOST:
                break
            sizes.append(math.prod(shape) * np.dtype(dtype).itemsize)
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    return sizes


def _numbers(count: int) -> bytes:
    """Small float32 numbers; in whole numbers of other types these bytes are large, 0 or 1."""
    floats = np.linspace(-1, 1, count // 4 + 1, dtype="<f4").tobytes()
    return floats[:count]
