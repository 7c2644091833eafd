"""Running a plan: what comes in, the runs bound to its shapes, and what goes out; whole, in parts, or step by step."""

from .bound import Runner
from .direct import DirectCalls
from .predict import Predictor
from .stream import Stream, StreamError

__all__ = ["DirectCalls", "Predictor", "Runner", "Stream", "StreamError"]
