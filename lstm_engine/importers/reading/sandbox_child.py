"""The child's side of `sandbox`: limits itself, calls the parser, writes the answer."""

from __future__ import annotations

import importlib
import json
import math
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from ... import errors
from . import answer, confinement

_CHUNK = 1 << 24
_KINDS = ((errors.UnsupportedError, "unsupported"), (errors.MissingDependencyError, "missing"),
          (errors.FileError, "file"))


def main(request: dict[str, Any]) -> None:
    """Answer one request of `sandbox.run` on what was standard output."""
    # The parser may print; what it prints must not become part of the answer.
    pipe = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    module, _, function = request["function"].partition(":")
    try:
        parser = importlib.import_module(module)
        parse = getattr(parser, function)
        # From here on nothing can be opened or imported: the parser first loads all that it will need.
        parser.make_ready()
        file = os.fdopen(0, "rb")
        _confine(pipe.fileno(), request["memory"], request["cpu_seconds"])
        result, arrays = parse(file)
        _check(arrays, request["max_bytes"])
        header = _header(result, arrays)
    except Exception as error:
        pipe.write(answer.MAGIC + _error(error))
    else:
        pipe.write(answer.MAGIC + header)
        _send(pipe, arrays)
    pipe.flush()
    # The parser's objects may be damaged: leave without running their destructors.
    os._exit(0)


def _confine(pipe: int, memory: int, cpu_seconds: float) -> None:
    """From here on this process can read its file, write its answer, and little else."""
    os.environ.clear()
    try:
        confinement.limit(memory, cpu_seconds)
        confinement.filter_system_calls(writable=(pipe, 1, 2))       # 1 and 2 lead nowhere
    except (confinement.CannotConfine, OSError) as error:
        raise errors.UnsupportedError("the process that reads untrusted bytes cannot be confined as this system "
                                      f"promises ({error}); lstm-engine info says what it can do") from error


def _check(arrays: dict[str, Any], max_bytes: int) -> None:
    total = 0
    for name, array in arrays.items():
        dtype = _name_of(array.dtype)
        if dtype not in answer.DTYPES:
            raise errors.UnsupportedError(f"{name}: arrays of type {array.dtype} are not supported; "
                                          f"supported: {', '.join(answer.DTYPES)}")
        if not answer.can_be([int(size) for size in array.shape]):
            raise errors.FormatError(f"{name}: the size of {tuple(array.shape)} overflows")
        total += math.prod(map(int, array.shape)) * answer.ITEM_BYTES[dtype]
    if total > max_bytes:
        raise errors.FormatError(f"its arrays claim {total} bytes, far beyond the size of the file")


def _header(result: dict[str, Any], arrays: dict[str, Any]) -> bytes:
    entries = [(name, _name_of(array.dtype), list(map(int, array.shape))) for name, array in arrays.items()]
    header = json.dumps({"result": result, "arrays": entries}).encode()
    if len(header) > answer.MAX_HEADER or len(entries) > answer.MAX_ARRAYS:
        raise errors.FormatError(f"its description takes {len(header)} bytes and {len(entries)} arrays; "
                                 f"at most {answer.MAX_HEADER} and {answer.MAX_ARRAYS} are read")
    return len(header).to_bytes(8, "little") + header


def _send(pipe: BinaryIO, arrays: dict[str, Any]) -> None:
    for name, array in arrays.items():
        pieces = array.pieces(_CHUNK) if hasattr(array, "pieces") else _pieces_of(array)
        try:
            first = next(pieces, b"")
        except Exception as error:
            pipe.write(b"\0" + _error(error, f"{name}: "))
            return
        pipe.write(b"\1")
        pipe.write(first)
        for piece in pieces:
            pipe.write(piece)
        first = piece = b""       # before the next is read: one array at a time is what the limit allows for
    pipe.write(answer.MAGIC)


def _name_of(dtype: Any) -> str:
    """The name of a type of elements: NumPy's own, or said without NumPy."""
    return dtype if isinstance(dtype, str) else str(dtype.name)


def _pieces_of(array: Any) -> Iterator[memoryview]:
    """The little-endian bytes of an array in C order."""
    import numpy as np  # which whoever made the array has loaded

    native = np.asarray(array)
    little = np.ascontiguousarray(native, dtype=native.dtype.newbyteorder("<")).reshape(-1)
    data = little.view(np.uint8).data
    for start in range(0, data.nbytes, _CHUNK):
        yield data[start : start + _CHUNK]


def _error(error: Exception, prefix: str = "") -> bytes:
    """The header that tells of an error. What a parser raises beside our own errors says that the file is bad."""
    kind = next((kind for type_, kind in _KINDS if isinstance(error, type_)), "format")
    message = str(error) if isinstance(error, errors.LstmEngineError) else f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError):
        message = "reading it takes more memory than a file of its size may"
    elif isinstance(error, RecursionError):
        message = "it is nested too deeply"
    header = json.dumps({"error": kind, "message": (prefix + message)[:4000]}).encode()
    return len(header).to_bytes(8, "little") + header
