"""lstm-engine: run trained recurrent networks on CPUs, without the framework that trained them."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import ops
    from .errors import (
        ArgumentError,
        ArgumentTypeError,
        AssumptionWarning,
        CoreError,
        FileError,
        FormatError,
        GraphError,
        LimitError,
        LstmEngineError,
        MissingDependencyError,
        OutOfMemoryError,
        UnsupportedError,
    )
    from .layers import GRU, LSTM, RNN, Activate, Dense, Embedding, Pool
    from .limits import Limits
    from .loading import convert, load
    from .model import Model
    from .padding import pad_sequences
    from .quantizing import quantize
    from .running.stream import Stream, StreamError
    from .runtime import info, set_isa, set_num_threads
    from .verifying import verify

__version__ = "0.1.0"

__all__ = ["GRU", "LSTM", "RNN", "Activate", "ArgumentError", "ArgumentTypeError", "AssumptionWarning", "CoreError",
           "Dense", "Embedding", "FileError", "FormatError", "GraphError", "LimitError", "Limits", "LstmEngineError",
           "MissingDependencyError", "Model", "OutOfMemoryError", "Pool", "Stream", "StreamError", "UnsupportedError",
           "convert", "info", "load", "ops", "pad_sequences", "quantize", "set_isa", "set_num_threads", "verify"]

_HOMES = {"layers": ("GRU", "LSTM", "RNN", "Activate", "Dense", "Embedding", "Pool"),
          "limits": ("Limits",),
          "loading": ("convert", "load"),
          "model": ("Model",),
          "padding": ("pad_sequences",),
          "quantizing": ("quantize",),
          "running.stream": ("Stream", "StreamError"),
          "runtime": ("info", "set_isa", "set_num_threads"),
          "verifying": ("verify",)}


if not TYPE_CHECKING:           # which has the names above, and would take any other for an object of this function's
    def __getattr__(name: str) -> object:
        """Public names are imported when they are first used: importing the package costs a program next to nothing."""
        if name == "ops":
            return import_module(".ops", __name__)
        if name == "_core":
            try:
                return import_module("._core", __name__)
            except ModuleNotFoundError as error:
                if error.name != f"{__name__}._core":
                    raise
            raise ImportError(f"{__path__[0]} has no compiled engine: beside that folder run: python setup.py "
                              "build_ext --inplace; or, for an lstm-engine that is installed, start Python elsewhere")
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = next((module for module, names in _HOMES.items() if name in names), "errors")
        value = globals()[name] = getattr(import_module(f".{home}", __name__), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
