"""Calls with arguments that they are not made for: what they are stands in `calls.CALLS`."""

from __future__ import annotations

from lstm_engine.errors import (
    ArgumentError,
    ArgumentTypeError,
    FileError,
    GraphError,
    LstmEngineError,
    OutOfMemoryError,
)

from .. import calls
from ..attack import Table

OUT_OF_RANGE = "CVE-2021-29560 and its kind: indices not checked, CWE-125"
TYPES = "CWE-843"
SIZES = "CWE-131"
PATHS = "CWE-73"
LAYOUTS = "no attack: layouts of NumPy"

TABLE = Table("calls", "call.txt", lambda: "read-only", calls.call)

REFUSED: list[tuple[str, str, type[LstmEngineError], str]] = [
    ("ids beyond the table", OUT_OF_RANGE, ArgumentError, "token id 7 at row 0, step 0 is outside the vocabulary of 7"),
    ("negative ids", OUT_OF_RANGE, ArgumentError, "token id -1 at row 0, step 0 is outside the vocabulary of 7"),
    ("ids of 2^63", "CWE-190", ArgumentError, "9223372036854775808 does not fit int32"),
    ("ids that wrap in 32 bits", "CWE-190", ArgumentError, "4294967296 does not fit int32"),
    ("ids with a fraction", "CWE-681", ArgumentTypeError, "expected whole numbers (token ids)"),
    ("ids that are NaN", "CWE-681", ArgumentTypeError, "expected whole numbers (token ids)"),
    ("an array of objects", "CVE-2019-6446's kind", ArgumentTypeError,
    "expected numbers, got an array of Python objects"),
    ("an array of text", TYPES, ArgumentTypeError, "got dtype <U1"),
    ("an array of records", TYPES, ArgumentError, "expected shape [batch, time, 3], got [2, 3]"),
    ("complex numbers", TYPES, ArgumentTypeError, "got dtype complex128"),
    ("an object that lies about its shape", "CWE-367", ArgumentError, "expected shape [batch, time, 3], got [1, 1, 1]"),
    ("an object that raises whatever it is asked", "CWE-248", ArgumentError,
    "not a rectangular array of numbers (asked)"),
    ("a list in itself", "CWE-674", ArgumentError, "not a rectangular array of numbers"),
    ("2^60 elements without memory", "CWE-789", OutOfMemoryError, "Unable to allocate 3.00 EiB"),
    ("another number of features", SIZES, ArgumentError, "expected shape [batch, time, 3], got [2, 3, 4]"),
    ("another rank", SIZES, ArgumentError, "expected shape [batch, time, 3], got [2, 3]"),
    ("lengths beyond the steps", OUT_OF_RANGE, ArgumentError, "lengths[0] is 4; expected 0 to 3"),
    ("negative lengths", OUT_OF_RANGE, ArgumentError, "lengths[0] is -1; expected 0 to 3"),
    ("lengths of 2^63", "CWE-190", ArgumentError, "lengths[0] is 9223372036854775808; expected 0 to 3"),
    ("more lengths than rows", SIZES, ArgumentError, "lengths: expected 2 of them, one for each row, got shape [3]"),
    ("a state of another shape", SIZES, ArgumentError, "state lstm.h: expected shape (2, 1, 2), got (2, 300)"),
    ("a state of other rows", SIZES, ArgumentError, "state lstm.h: expected shape (2, 1, 2), got (1, 2)"),
    ("a state of an unknown layer", "CWE-20", ArgumentError, "state 'gru'.'h': the model has no such state"),
    ("out that cannot be written", "CWE-123", ArgumentError, "out 'output': must be writeable and C-contiguous"),
    ("out of another shape", "CWE-787", ArgumentError, "out 'output': expected float32 of shape [2, 3, 2]"),
    ("out over the input", "CWE-123", ArgumentError, "out 'output': shares memory with an input"),
    ("-1 threads", "CWE-195", ArgumentError, "threads must be a whole number from 1 to 1024, got -1"),
    ("2^40 threads", "CWE-770", ArgumentError, "threads must be a whole number from 1 to 1024, got 1099511627776"),
    ("a batch size of 0", "CWE-369", ArgumentError, "batch_size must be a whole number of at least 1, got 0"),
    ("a stream of 2^40 rows", "CWE-770", ArgumentError, "batch may be at most 2147483647, got 1099511627776"),
    ("a step of other rows than the stream", SIZES, ArgumentError, "expected the 2 rows of this stream, got 3"),
    ("weights of 4 TB without memory", "CWE-789", OutOfMemoryError, "Unable to allocate 4.00 TiB"),
    ("weights of two sizes", SIZES, GraphError, "node 'lstm' (LSTM): R must be [1, 8, 2]"),
    ("a path with a zero byte", "CWE-158", FileError, r"cannot read model\0.lstm: embedded null byte"),
    ("a name of 400 characters", PATHS, FileError, "File name too long"),
    ("a path that is a number", PATHS + ", an open descriptor", ArgumentTypeError, "expected a path"),
    ("an instruction set that is a path", "CWE-426", ArgumentError, "'../../evil.so' is not in this build"),
]
for name, source, error, message in REFUSED:
    TABLE.refuse(name, source, lambda name=name: name, error, message)

for name in ("big-endian", "negative strides", "Fortran order", "every second element", "misaligned", "read-only",
             "one element, many strides of 0"):
    TABLE.right(name, LAYOUTS, lambda name=name: name, [True], "the same bits as a plain array")
TABLE.right("no rows", "CWE-369", lambda: "no rows", [[0, 3, 2]], "no rows")

assert {attack.name for attack in TABLE.attacks} == calls.CALLS.keys()
