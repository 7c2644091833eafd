"""Comparing a model with the program that it came from, run in its own framework: `lstm_engine.verify`.

`sources` says who runs a source, `frameworks` starts it (`framework_child` is the program that runs there), `made_up`
and `sizes` make inputs, `judge` says what is too far, `report` what was found. `engine` is our own reference, which
checks the engine alone.
"""

from .check import verify
from .report import Report

__all__ = ["Report", "verify"]
