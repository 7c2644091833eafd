"""Signals that come at random instants of many calls: the child process of tests/hostile/test_fault_signals.py.

argv: what a signal does (nothing, raises, interrupt), calls, seed, the folder for files. Each call gives the right bits or the exception of the handler; a
state is what it was before a call that was interrupted. Prints how many calls ended in each way.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import warnings
from collections import Counter
from pathlib import Path

import model_files
import numpy as np
from held import python_blocks
from model_files import bits

import lstm_engine as le

from .operations import Operation, calls, writes


class Rung(Exception):
    """What the handler raises."""


def ring(*_: object) -> None:
    raise Rung


# How a signal is answered: (the signal, its handler, the exception that may come of it).
ANSWERS = {"nothing": (signal.SIGALRM, lambda *_: None, ()), "raises": (signal.SIGALRM, ring, (Rung,)),
           "interrupt": (signal.SIGINT, signal.default_int_handler, (KeyboardInterrupt,))}
LONGEST = 2e-3            # seconds until a signal: about as long as most calls take
