"""The tree of exceptions: all are `LstmEngineError`, and also the built-in kind a caller would expect."""

from __future__ import annotations


class LstmEngineError(Exception):
    """Base of every error that this package raises on purpose."""


class ArgumentError(LstmEngineError, ValueError):
    """An argument has the right type but a wrong value, shape or range."""


class ArgumentTypeError(LstmEngineError, TypeError):
    """An argument has a type or dtype that cannot be used."""


class GraphError(LstmEngineError, ValueError):
    """A graph is not well formed: a missing value, a weight of a wrong shape, a cycle."""


class FormatError(LstmEngineError, ValueError):
    """The bytes of a file are not what its format says; the message names the part of the file."""


class UnsupportedError(LstmEngineError, ValueError):
    """A layer, operator or option is known but not supported; the message names it and what is supported."""


class LimitError(LstmEngineError, ValueError):
    """A model or a call would take more than `Limits` allow; the message names what, how much, and how to allow it."""


class FileError(LstmEngineError, OSError):
    """A file cannot be read or written."""


class MissingDependencyError(LstmEngineError, ImportError):
    """An optional package is needed for this; the message names the extra that installs it."""


class AssumptionWarning(UserWarning):
    """A file holds weights alone, and what a converted model assumes of the program around them is listed."""


class CoreError(LstmEngineError, RuntimeError):
    """The C core refused a call for a reason that no argument check foresaw."""


class CheckError(LstmEngineError, ArithmeticError):
    """LSTM_ENGINE_CHECK=1 found a step further from its float64 reference than rounding explains."""


class OutOfMemoryError(LstmEngineError, MemoryError):
    """The C core could not allocate the memory a model or a run needs."""


# What is said of a file that ends before it should.
CUT = "the file is truncated; fetch or copy it again"
