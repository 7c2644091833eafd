"""Running a plan: what comes in, the runs bound to its shapes, and what goes out; whole, in parts, or step by step.

Each is loaded when it is first used: calls of a model that is one segment (`direct`) need nothing of the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .bound import Runner
    from .direct import DirectCalls
    from .predict import Predictor
    from .stream import Stream, StreamError

__all__ = ["DirectCalls", "Predictor", "Runner", "Stream", "StreamError"]

_HOMES = {"DirectCalls": "direct", "Predictor": "predict", "Runner": "bound", "Stream": "stream",
          "StreamError": "stream"}

if not TYPE_CHECKING:
    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        return value
