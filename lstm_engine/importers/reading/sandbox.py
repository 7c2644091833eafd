"""Runs a foreign C parser (HDF5, protobuf) in a short-lived child process: a crash or a hang there is an error here.

The child imports one module of this package, without the package around it, has it load all that it needs, gives up
every right that reading does not need (`confinement`), and only then calls one function on the file, which it was given
open, and writes back JSON and arrays. What comes back is checked as untrusted: a hostile file may own the child.

The answer on the pipe: 8 bytes MAGIC, u64 little-endian length of the header, the header (UTF-8 JSON
`{"result": ..., "arrays": [[name, dtype, shape], ...]}` or `{"error": kind, "message": ...}`); then for each
array a byte 1 and its bytes in C order, or a byte 0 and the length and text of an error header; and MAGIC again.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import math
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import IO, Any, BinaryIO

import numpy as np

from ...errors import FileError, FormatError, LstmEngineError, MissingDependencyError, UnsupportedError
from ...files import ModelFile, cannot_read, open_regular, with_descriptor
from ...pages import empty
from ...strict_json import parse_object
from .answer import DTYPES, ITEM_BYTES, MAGIC, MAX_ARRAYS, MAX_HEADER, can_be

_ERRORS: dict[str, type[LstmEngineError]] = {
    "format": FormatError, "unsupported": UnsupportedError, "missing": MissingDependencyError, "file": FileError,
}

# Arrays may be this much larger than the file (compressed weights), and small files get a floor.
MAX_EXPANSION = 16
FLOOR_BYTES = 32 << 20
PARSER_BYTES = 192 << 20         # what the parser itself may use beside the file and its arrays
BASE_SECONDS = 2.0               # of CPU time, for parsing; more for large files
BYTES_PER_SECOND = 100 << 20
START_SECONDS = 60.0             # of wall time, for a cold start of the interpreter and the library

_CHILD = f"{__package__}.sandbox_child"
_BOOTSTRAP = """
import json, sys, types
request = json.loads(sys.argv[1])
sys.path[:] = request["sys_path"]
for name, folders in request["packages"]:
    package = types.ModuleType(name)
    package.__path__ = folders
    sys.modules[name] = package
import importlib
importlib.import_module(request["child"]).main(request)
"""


def run(module_function: str, path: ModelFile, *, what: str, max_bytes: int | None = None
        ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Call `package.module:function` on `path` in a limited child process.

    The function takes the open file and returns (result, arrays): a dict that JSON can hold, and by name
    anything with `shape`, `dtype` and `__array__` (read one at a time, when it is sent), or in place of this `pieces`,
    which gives its bytes in C order, little-endian, in parts of at most so many, or in one: NumPy takes longer to load
    than most files to parse. Its module has a function `make_ready` that loads all it will need: nothing can be opened
    or imported while it parses. what: the parser's name in messages ("the HDF5 parser"). max_bytes: the most bytes that
    all arrays may take together; by default 16 times the file and at least 32 MB.

    Raises the FormatError, UnsupportedError or MissingDependencyError that the function raised; FormatError if
    the child crashes, exceeds its time or memory, or answers nonsense; FileError if the file cannot be read.
    """
    if getattr(sys, "frozen", False) or not sys.executable:
        raise UnsupportedError(f"{path}: {what} runs in a separate Python process, which this frozen program "
                               "cannot start; convert the model with a plain Python and load the .lstm file")
    try:
        with open_regular(path) as opened, with_descriptor(opened) as file:
            return _run(module_function, path, file, what, max_bytes)
    except OSError as error:
        cannot_read(path, error)


def _run(module_function: str, path: ModelFile, file: BinaryIO, what: str, max_bytes: int | None
         ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    size = os.fstat(file.fileno()).st_size
    if max_bytes is None:
        max_bytes = FLOOR_BYTES + MAX_EXPANSION * size
    cpu_seconds = BASE_SECONDS + size / BYTES_PER_SECOND
    request = {
        "sys_path": [os.path.abspath(entry) for entry in sys.path if entry],
        "packages": _ancestors(_CHILD, module_function.partition(":")[0]),
        "child": _CHILD,
        "function": module_function,
        "max_bytes": max_bytes,
        "memory": PARSER_BYTES + max_bytes + 3 * size,
        "cpu_seconds": cpu_seconds,
    }
    # Wall time only has to catch a child that waits for ever; a busy machine must not fail a good file.
    with _Child() as child:
        try:
            child.start(request, file, START_SECONDS + 10 * cpu_seconds)
        except OSError as error:
            raise FileError(error.errno, f"cannot read {path}: {what} runs in a process of its own, and "
                                         f"{sys.executable} cannot be started: {error.strerror}") from error
        try:
            return read_answer(child.pipe, max_bytes)
        except Refusal as refusal:
            raise _ERRORS[refusal.kind](f"{path}: {refusal}") from None
        except Nonsense as nonsense:
            raise FormatError(f"{path}: {what} {child.how_it_ended() or f'answered {nonsense}'}") from None
        except OSError as error:
            raise FileError(error.errno, f"cannot read {path}: no answer of {what}: {error.strerror}") from error


def read_answer(pipe: BinaryIO, max_bytes: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The (result, arrays) that a child wrote. Raises Refusal where it says that the file is bad, Nonsense for anything
    that is not the protocol; what the result holds is for the caller to check."""
    header = _read_header(pipe)
    arrays = _read_arrays(pipe, header["arrays"], max_bytes)
    if pipe.read(len(MAGIC) + 1) != MAGIC:
        raise Nonsense("more than it announced")
    return header["result"], arrays


class Nonsense(Exception):
    """The child's answer is not what the protocol says."""


class Refusal(Exception):
    """The child says that the file is bad."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class _Patient(io.RawIOBase):
    """A pipe that is read until a moment on time.monotonic; then `on_timeout` is called, and it ends. No thread watches
    the time: one that cannot start for want of memory would never be heard of."""

    def __init__(self, pipe: IO[bytes], until: float, on_timeout: Callable[[], None]) -> None:
        self._pipe, self._until, self._on_timeout = pipe, until, on_timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(self._pipe, select.POLLIN)
            if not poll.poll(max(0, (self._until - time.monotonic()) * 1000)):
                self._on_timeout()
                return 0
        done: int | None = self._pipe.readinto(buffer)  # type: ignore[attr-defined]
        return done


class _Child:
    """The process, its pipe, and the time that it has."""

    process: subprocess.Popen[bytes] | None = None
    pipe: BinaryIO
    timed_out = False
    _until = 0.0
    _timer: threading.Timer | None = None       # where a pipe cannot be waited for with a limit (Windows)

    def start(self, request: dict[str, Any], file: BinaryIO, wall_seconds: float) -> None:
        """Start the process; inside the `with` block, so that whatever comes now ends it. Raises OSError."""
        keep = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "PATH")
        environment = {name: os.environ[name] for name in keep if name in os.environ}
        # One thread is enough to parse, and each of a BLAS' threads would count against the memory limit.
        environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
                        "HDF5_PLUGIN_PRELOAD": "::", "HDF5_USE_FILE_LOCKING": "FALSE"}
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-X", "utf8", "-c", _BOOTSTRAP, json.dumps(request)],
            stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, bufsize=0)
        self._until = time.monotonic() + wall_seconds
        assert self.process.stdout is not None
        self.pipe = io.BufferedReader(_Patient(self.process.stdout, self._until, self._time_out))
        if not hasattr(select, "poll"):
            self._timer = threading.Timer(wall_seconds, self._time_out)
            self._timer.daemon = True
            self._timer.start()

    def _time_out(self) -> None:
        self.timed_out = True
        if self.process is not None:
            self.process.kill()

    def how_it_ended(self) -> str:
        """Why the child stopped, "" if it ended by itself."""
        assert self.process is not None
        try:
            code = self.process.wait(max(0, self._until - time.monotonic()))
        except subprocess.TimeoutExpired:           # it has closed its pipe, and does not end
            self._time_out()
            code = self.process.wait()
        if self.timed_out or -code in (getattr(signal, "SIGPROF", 0), getattr(signal, "SIGXCPU", 0)):
            return "took too long"
        if code in (0, -signal.SIGTERM):
            return ""
        return f"crashed (signal {-code})" if code < 0 else f"failed (exit code {code})"

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.process is None:
            return
        self.process.kill()
        with contextlib.suppress(OSError):         # of what is thrown away
            self.process.stdout.close()  # type: ignore[union-attr]
        self.process.wait()


def _ancestors(*modules: str) -> list[tuple[str, list[str]]]:
    """The packages around modules and where their files are, so that the child need not execute them."""
    names: dict[str, None] = {}
    for module in modules:
        parts = module.split(".")[:-1]
        names.update((".".join(parts[:count]), None) for count in range(1, len(parts) + 1))
    return [(name, [os.path.abspath(folder) for folder in importlib.import_module(name).__path__]) for name in names]


def _read_exactly(pipe: BinaryIO, count: int) -> bytes:
    data = pipe.read(count)
    if len(data) != count:
        raise Nonsense(f"{len(data)} bytes of {count}")
    return data


def _read_header(pipe: BinaryIO) -> dict[str, Any]:
    """The header of the answer; raises Refusal if it is an error."""
    if _read_exactly(pipe, len(MAGIC)) != MAGIC:
        raise Nonsense("without its mark")
    header = _read_json(pipe)
    if not isinstance(header.get("result"), dict) or not isinstance(header.get("arrays"), list):
        raise Nonsense("a header without its parts")
    return header


def _read_json(pipe: BinaryIO) -> dict[str, Any]:
    length = int.from_bytes(_read_exactly(pipe, 8), "little")
    if length > MAX_HEADER:
        raise Nonsense(f"a header of {length} bytes, more than {MAX_HEADER}")
    try:
        header = parse_object(_read_exactly(pipe, length), "a header", nonfinite=True)
    except FormatError as error:
        raise Nonsense(str(error)) from None
    if header.get("error") in _ERRORS and isinstance(header.get("message"), str):
        raise Refusal(header["error"], header["message"])
    return header


def _read_arrays(pipe: BinaryIO, entries: list[Any], max_bytes: int) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    left = max_bytes
    if len(entries) > MAX_ARRAYS:
        raise Nonsense(f"{len(entries)} arrays, more than {MAX_ARRAYS}")
    for entry in entries:
        name, dtype, shape = _checked_entry(entry)
        if name in arrays:
            raise Nonsense(f"the array {name!r} twice")
        left -= math.prod(shape) * ITEM_BYTES[dtype]
        if left < 0:
            raise Nonsense(f"more than {max_bytes} bytes of arrays")
        array = empty(shape, dtype)
        if _read_exactly(pipe, 1) != b"\1":
            _read_json(pipe)
            raise Nonsense("an error that is none")
        view = array.reshape(-1).view(np.uint8).data
        if pipe.readinto(view) != array.nbytes:  # type: ignore[attr-defined]
            raise Nonsense(f"an array {name!r} that ends early")
        arrays[name] = array
    return arrays


def _checked_entry(entry: object) -> tuple[str, str, tuple[int, ...]]:
    match entry:
        case [str(name), str(dtype), list(shape)] if dtype in DTYPES and len(shape) <= 32:
            if all(type(size) is int and size >= 0 for size in shape) and can_be(shape):
                return name, dtype, tuple(shape)
    raise Nonsense("an array that is not described")
