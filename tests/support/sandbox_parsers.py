"""Parsers that misbehave, run by the tests of the sandbox in its child process."""

import ctypes
import errno
import mmap
import os
import socket
import threading

import numpy as np

from lstm_engine.errors import FormatError, MissingDependencyError, UnsupportedError

_PARENT = os.getppid()
_HERE = "/tmp/lstm-engine-trial"


def make_ready():
    """Nothing more has to be loaded: the imports above are all."""


def good(file):
    print("a C library may print")
    os.write(1, b"so that it goes past Python")
    data = np.frombuffer(file.read(), np.uint8)
    return {"size": len(data)}, {"bytes": data, "big endian": np.arange(3, dtype=">f8"), "scalar": np.float32(2),
                                 "transposed": np.arange(6, dtype=np.int32).reshape(2, 3).T, "none": np.ones((0, 4))}


def format_error(file):
    raise FormatError("part 7 is bad")


def unsupported(file):
    raise UnsupportedError("layer 'x' is not supported")


def missing(file):
    raise MissingDependencyError("needs h5py")


def other_error(file):
    raise KeyError("nothing of ours")


def segmentation_fault(file):
    import ctypes

    ctypes.string_at(0)


def leaves(file):
    os._exit(0)


def fails(file):
    os._exit(3)


def loops(file):
    while True:
        pass


def sleeps(file):
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def eats_memory(file):
    return {}, {"x": np.ones(1 << 32, np.uint8)}


def too_much(file):
    return {}, {"x": np.broadcast_to(np.float32(0), (1 << 40,))}


def recurses(file):
    return recurses(file)


def strings(file):
    return {}, {"names": np.array(["a"])}


class Late:
    """An array that cannot be read once it is its turn."""

    shape, dtype = (4,), np.dtype(np.float32)

    def __init__(self, error):
        self.error = error

    def __array__(self, dtype=None, copy=None):
        raise self.error


def late_error(file):
    return {}, {"first": np.zeros(3), "second": Late(OSError("inflate() failed"))}


class InPieces:
    """An array that comes in pieces of its bytes, and may end before it is whole."""

    shape, dtype = (6,), "uint8"

    def __init__(self, *pieces):
        self.given = pieces

    def pieces(self, most):
        yield from self.given
        if sum(map(len, self.given)) < 6:
            raise EOFError("the file has become shorter")


def in_pieces(file):
    return {}, {"first": np.zeros(3), "second": InPieces(b"ab", b"", b"cdef")}


def ends_in_a_piece(file):
    return {}, {"first": np.zeros(3), "second": InPieces(b"ab", b"cd")}


class Crashing(Late):
    def __array__(self, dtype=None, copy=None):
        segmentation_fault("")


def late_crash(file):
    return {}, {"first": np.zeros(3), "second": Crashing(None)}


def _trials(file) -> dict:
    """What a parser that a file has taken over would try, by name."""
    descriptor, parent, libc = file.fileno(), _PARENT, ctypes.CDLL(None, use_errno=True)

    def call(name, *arguments):
        def trial():
            if getattr(libc, name)(*arguments) == -1:
                raise OSError(ctypes.get_errno(), name)
        return trial

    def thread():
        threading.Thread(target=print).start()

    return {
        "read another file": lambda: os.open("/etc/passwd", os.O_RDONLY),
        "read the parent's memory": lambda: os.open(f"/proc/{parent}/mem", os.O_RDONLY),
        "read the parent's environment": lambda: os.open(f"/proc/{parent}/environ", os.O_RDONLY),
        "write the parent's memory": lambda: os.open(f"/proc/{parent}/mem", os.O_RDWR),
        "create a file": lambda: os.open(_HERE + ".new", os.O_CREAT | os.O_WRONLY),
        "write to the file it reads": lambda: os.write(descriptor, b"harm"),
        "cut the file it reads": lambda: os.ftruncate(descriptor, 0),
        "remove the file": lambda: os.unlink(_HERE),
        "rename the file": lambda: os.rename(_HERE, _HERE + ".gone"),
        "link to the file": lambda: os.link(_HERE, _HERE + ".link"),
        "change the file's mode": lambda: os.chmod(_HERE, 0o777),
        "look at a file": lambda: os.stat("/etc/passwd"),
        "list a folder": lambda: os.listdir("/"),
        "make a folder": lambda: os.mkdir(_HERE + ".folder"),
        "open a socket": lambda: socket.socket(),
        "open a pair of sockets": lambda: socket.socketpair(),
        "fork": lambda: os.fork() or os._exit(0),
        "start a thread": thread,
        "run a program": lambda: os.execv("/bin/true", ["true"]),
        "signal the parent": lambda: os.kill(parent, 0),
        "trace the parent": call("ptrace", 16, parent, None, None),
        "read the parent's memory by call": call("process_vm_readv", parent, None, 0, None, 0, 0),
        "write the parent's memory by call": call("process_vm_writev", parent, None, 0, None, 0, 0),
        "make memory that can be executed": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
        "change its limits": call("setrlimit", 4, None),
        "change its rights": call("prctl", 4, 1, 0, 0, 0),
        "make a file in memory": lambda: os.memfd_create("x"),
        "make a pipe": os.pipe,
        "duplicate a descriptor": lambda: os.dup(descriptor),
        "change the folder": lambda: os.chdir("/"),
        "become somebody else": lambda: os.setuid(65534),
    }


def attempts(file):
    outcome = {}
    for name, trial in _trials(file).items():
        try:
            trial()
            outcome[name] = "allowed"
        except OSError as error:
            outcome[name] = errno.errorcode.get(error.errno, str(error.errno))
        except RuntimeError as error:            # a thread that cannot start
            outcome[name] = str(error)
    return {"outcome": outcome, "environment": dict(os.environ), "rest": file.read().decode()}, {}


def environment(file):
    import sys

    return {"names": sorted(os.environ), "modules": [name for name in sys.modules if name.startswith("lstm_engine")],
            "isolated": sys.flags.isolated}, {}
