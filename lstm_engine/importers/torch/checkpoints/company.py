"""What calls in a torch file may stand for beside weights: named here, never made.

Training scripts keep their settings, generators, paths and counters in a checkpoint. Each is a call of a class or of a
function that makes one, which stays a record of its name and its arguments. What lies in it is looked at only where a
tensor does. A call outside these tables is an error that names it: nothing runs either way, but a file that calls
`os.system` is not one to go on reading.
"""

from __future__ import annotations

import sys

from .symbols import Symbol

# Values whose arguments are of no use to anybody here.
INERT = frozenset((
    "torch.device", "torch.serialization._get_layout", "_codecs.encode", "builtins.complex", "builtins.bytearray",
    "builtins.slice", "builtins.range", "numpy.dtype", "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar", "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct",
    "numpy._core.numeric._frombuffer", "numpy.core.numeric._frombuffer", "pathlib.PosixPath", "pathlib.WindowsPath",
    "pathlib.PurePosixPath", "pathlib._local.PosixPath", "pathlib._local.WindowsPath",
    "datetime.datetime", "datetime.timedelta", "datetime.date"))

# Of Python, NumPy and torch, whose other functions are refused. Their older names are those of files of protocol 2.
_RECORDS = frozenset((
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in (
        "complex", "bytearray", "slice", "range", "xrange", "object", "getattr", "bytes", "str", "int", "float")),
    "collections.deque", "collections.ChainMap", "collections.UserDict", "copyreg._reconstructor",
    "copy_reg._reconstructor", "copyreg.__newobj_ex__", "datetime.time", "datetime.timezone", "datetime.tzinfo",
    "decimal.Decimal", "decimal.Context", "fractions.Fraction", "functools.partial", "itertools.count",
    "logging.getLogger", "operator.getitem", "_operator.getitem", "operator.attrgetter", "operator.itemgetter",
    "operator.methodcaller", "pathlib.Path", "pathlib.PurePath", "pathlib.PureWindowsPath",
    "pathlib._local.PurePosixPath", "pathlib._local.PureWindowsPath", "random.Random", "re._compile",
    "time.struct_time", "types.SimpleNamespace", "types.GenericAlias", "types.UnionType", "uuid.UUID", "uuid.SafeUUID",
    "zoneinfo.ZoneInfo._unpickle", "numpy.datetime64", "numpy.timedelta64",
    "numpy.random._pickle.__randomstate_ctor", "numpy.random._pickle.__generator_ctor",
    "numpy.random._pickle.__bit_generator_ctor", "numpy.random.__RandomState_ctor"))
# How functions are called that make an object again: of any extension module that Cython wrote, and of packages.
_CYTHON = "__pyx_unpickle_"
_MAKERS = ("_unpickle", "_nat_unpickle", "_reconstruct", "_new_Index")
_CLOSED = frozenset((*sys.stdlib_module_names, "__builtin__", "copy_reg", "torch", "numpy"))


def is_record(symbol: Symbol) -> bool:
    """Whether a call of this name may stand in a checkpoint: one of the tables, or a class of somebody's own package.

    A class is told by its capital letter: an Enum's member, as pickle keeps it, is a call of its class.
    """
    last = symbol.name.rpartition(".")[2]
    if str(symbol) in _RECORDS or last.startswith(_CYTHON):
        return True
    if symbol.module.partition(".")[0] in _CLOSED:
        return False
    return last.lstrip("_")[:1].isupper() or last.startswith(_MAKERS)
