"""The oracle of the tests: every node in plain float64 NumPy, written to be read, not to be fast."""

from .activations import activate
from .recurrent import gru, lstm, rnn
from .runner import run

__all__ = ["activate", "gru", "lstm", "rnn", "run"]
