"""Parsers that misbehave, run by the tests of the sandbox in its child process."""

import os
import time

import numpy as np

from lstm_engine.errors import FormatError, MissingDependencyError, UnsupportedError


def good(path):
    print("a C library may print")
    os.write(1, b"so that it goes past Python")
    with open(path, "rb") as file:
        data = np.frombuffer(file.read(), np.uint8)
    return {"size": len(data)}, {"bytes": data, "big endian": np.arange(3, dtype=">f8"), "scalar": np.float32(2),
                                 "transposed": np.arange(6, dtype=np.int32).reshape(2, 3).T, "none": np.ones((0, 4))}


def format_error(path):
    raise FormatError("part 7 is bad")


def unsupported(path):
    raise UnsupportedError("layer 'x' is not supported")


def missing(path):
    raise MissingDependencyError("needs h5py")


def other_error(path):
    raise KeyError("nothing of ours")


def segmentation_fault(path):
    import ctypes

    ctypes.string_at(0)


def leaves(path):
    os._exit(0)


def fails(path):
    os._exit(3)


def loops(path):
    while True:
        pass


def sleeps(path):
    time.sleep(600)


def eats_memory(path):
    return {}, {"x": np.ones(1 << 32, np.uint8)}


def too_much(path):
    return {}, {"x": np.broadcast_to(np.float32(0), (1 << 40,))}


def recurses(path):
    return recurses(path)


def strings(path):
    return {}, {"names": np.array(["a"])}


class Late:
    """An array that cannot be read once it is its turn."""

    shape, dtype = (4,), np.dtype(np.float32)

    def __init__(self, error):
        self.error = error

    def __array__(self, dtype=None, copy=None):
        raise self.error


def late_error(path):
    return {}, {"first": np.zeros(3), "second": Late(OSError("inflate() failed"))}


class Crashing(Late):
    def __array__(self, dtype=None, copy=None):
        segmentation_fault("")


def late_crash(path):
    return {}, {"first": np.zeros(3), "second": Crashing(None)}


def writes(path):
    with open(path, "ab") as file:
        file.write(b"harm" * 100)
    return {}, {}


def environment(path):
    import sys

    return {"names": sorted(os.environ), "modules": [name for name in sys.modules if name.startswith("lstm_engine")],
            "isolated": sys.flags.isolated}, {}
