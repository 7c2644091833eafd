"""lstm-engine: run trained recurrent networks on CPUs, without the framework that trained them."""

from . import ops
from .errors import (
                     ArgumentError,
                     ArgumentTypeError,
                     CoreError,
                     FileError,
                     FormatError,
                     GraphError,
                     LstmEngineError,
                     MissingDependencyError,
                     OutOfMemoryError,
                     UnsupportedError,
)
from .layers import GRU, LSTM, RNN, Activate, Dense, Embedding, Pool
from .model import Model, convert, load
from .runtime import info, set_isa, set_num_threads
from .stream import Stream, StreamError

__version__ = "0.1.0"

__all__ = ["GRU", "LSTM", "RNN", "Activate", "ArgumentError", "ArgumentTypeError", "CoreError", "Dense", "Embedding",
           "FileError", "FormatError", "GraphError", "LstmEngineError", "MissingDependencyError", "Model",
           "OutOfMemoryError", "Pool", "Stream", "StreamError", "UnsupportedError", "convert", "info", "load", "ops",
           "set_isa", "set_num_threads"]
