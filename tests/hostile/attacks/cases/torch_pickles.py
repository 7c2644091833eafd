"""Pickles in `.pt` files: nothing that they name is imported, looked up or called, and no limit of theirs holds."""

from __future__ import annotations

import pickle
import struct

from torch_bytes import (
    MARK,
    archive,
    call,
    checkpoint,
    instance,
    items,
    legacy,
    listed,
    mapping,
    number,
    pickled,
    storage,
    symbol,
    tensor,
    text,
)

from lstm_engine.errors import FormatError, UnsupportedError

from ..attack import Table
from ..run import CANARY

TOUCH = f"touch {CANARY}"
SYSTEM = call(symbol("os", "system"), text(TOUCH))
GRU = mapping({"weight_ih_l0": tensor((3, 2), (2, 1)), "weight_hh_l0": tensor((3, 1), (1, 1))})
REFUSED = "which is not among what a checkpoint may rebuild"

TABLE = Table(".pt, its pickle", "model.pt", lambda: checkpoint(GRU))


def pickle_is_refused(name: str, source: str, value: bytes, message: str, error: type = FormatError,
    **more: bytes) -> None:
    """A whole archive around the pickle of a mapping that holds `value` beside good weights."""
    TABLE.refuse(name, source, lambda: checkpoint(mapping({"a": value, "weight_ih_l0": tensor()}), **more), error,
        message)


def raw(value: bytes) -> bytes:
    """A `.pt` archive whose pickle is these bytes."""
    return archive({"a/data.pkl": value})


class Evil:
    def __reduce__(self):
        import os
        return os.system, (TOUCH,)


def stack_of_lists(levels: int) -> bytes:
    """Ten references to the list before, again and again: 10^levels items for a reader that walks them."""
    return b"]q\x00" + tensor() + b"a" + b"".join(b"]q" + bytes([level + 1]) + MARK + (b"h" + bytes([level])) * 10
                                                  + b"e" for level in range(levels))


def colliding(count: int) -> bytes:
    """A dict of whole numbers that all have the hash 0."""
    prime = 2**61 - 1
    return b"}" + b"".join(MARK + b"".join(number(prime * (start + i)) + b"N" for i in range(1000)) + b"u"
                           for start in range(1, count, 1000))


# Calls, by every opcode that calls.
pickle_is_refused("REDUCE of os.system", "CVE-2025-32434", SYSTEM, f"calls 'os.system', {REFUSED}")
TABLE.refuse("what Python itself writes for __reduce__", "CVE-2025-32434", lambda: raw(pickle.dumps({"w": Evil()}, 4)),
             FormatError, f"opcode REDUCE: calls 'posix.system', {REFUSED}")
pickle_is_refused("STACK_GLOBAL of builtins.eval", "CVE-2025-32434's kind",
    text("builtins") + text("eval") + b"\x93" + items(
    text(f"open('{CANARY}', 'w')")) + b"R", f"calls 'builtins.eval', {REFUSED}")
pickle_is_refused("a module that scanners do not know", "CVE-2025-1716 (pip.main)", call(
    symbol("pip", "main"), listed(text("install"), text("x"))), f"calls 'pip.main', {REFUSED}")
pickle_is_refused("a class derived from a forbidden one", "CVE-2025-10157", call(
    symbol("asyncio.unix_events", "_UnixSubprocessTransport._start"), text(TOUCH)),
    f"calls 'asyncio.unix_events._UnixSubprocessTransport._start', {REFUSED}")
pickle_is_refused("a standard module that runs programs", "CVE-2026-56315", call(
    symbol("uuid", "_get_command_stdout"), text("touch"), text(CANARY)), f"calls 'uuid._get_command_stdout', {REFUSED}")
pickle_is_refused("a logger that creates a file", "CVE-2026-56304", call(
    symbol("logging", "FileHandler"), text(CANARY)), f"calls 'logging.FileHandler', {REFUSED}")
pickle_is_refused("torch.load inside torch.load", "CVE-2025-32434", call(symbol("torch", "load"), text("/etc/passwd")),
                  f"calls 'torch.load', {REFUSED}")
pickle_is_refused("a pickle inside the pickle", "torch.storage._load_from_bytes", call(
    symbol("torch.storage", "_load_from_bytes"), b"B" + struct.pack("<I", 9) + b"\x80\x02cos\n..."[:9]),
    f"calls 'torch.storage._load_from_bytes', {REFUSED}")
pickle_is_refused("an allowed function that calls its argument", "CVE-2026-24747 and its kind: _rebuild_from_type_v2",
    call(
    symbol("torch._tensor", "_rebuild_from_type_v2"), symbol("os", "system"), b"N", items(text(TOUCH)), b"N"),
    "_rebuild_from_type_v2 of something that rebuilds no tensor")
pickle_is_refused("NEWOBJ of subprocess.Popen", "CVE-2025-32434", call(instance("subprocess", "Popen", mapping(
    {"args": text(TOUCH)}))), "REDUCE: a Instance applied to a tuple")
pickle_is_refused("BUILD, which sets attributes", "CVE-2026-24747 and its kind", text("x") + b"}b",
                  "BUILD: sets the state of a str")
pickle_is_refused("INST", "pickle's oldest way to call", b"(ios\nsystem\n", "opcode INST is not allowed")
pickle_is_refused("OBJ", "pickle's oldest way to call", b"(cos\nsystem\no", "opcode OBJ is not allowed")
pickle_is_refused("EXT1, a registered extension", "copyreg", b"\x82\x01", "opcode EXT1 is not allowed")
TABLE.refuse("a call before the pickle breaks off", "nullifAI: broken pickles, 2025", lambda: raw(b"\x80\x02" + SYSTEM),
             FormatError, f"calls 'os.system', {REFUSED}")
TABLE.refuse("a call behind the end of the pickle", "nullifAI: stacked pickles", lambda: raw(
    pickled(listed()) + pickled(SYSTEM)), FormatError, "bytes follow the pickle")
TABLE.refuse("a call in the preamble of a legacy file", "CVE-2025-32434 (tar and legacy paths)",
    lambda: legacy(GRU).replace(
    pickled(number(1001)), pickled(SYSTEM), 1), FormatError, f"calls 'os.system', {REFUSED}")
TABLE.refuse("a call in the storage keys of a legacy file", "CVE-2025-32434", lambda: legacy(GRU, keys=listed(SYSTEM)),
             FormatError, f"calls 'os.system', {REFUSED}")
TABLE.refuse("a tar file, torch 0.1", "CVE-2025-32434 (the tar path ignored weights_only)",
    lambda: b"storages".ljust(257, b"\0") + b"ustar"
             + bytes(250), UnsupportedError, "a tar file of torch 0.1")
TABLE.refuse("a plain pickle named .bin.pt", "CVE-2025-10155", lambda: pickled(SYSTEM), FormatError,
             "a plain pickle without torch's magic number")
TABLE.refuse("a whole module of a class of its own", "CWE-502", lambda: checkpoint(instance(
    "my.own.package", "Net", mapping({"_parameters": GRU, "_modules": b"}"}))), UnsupportedError, "my.own.package.Net")
TABLE.refuse("nothing but objects of foreign classes", "CVE-2025-54412, CVE-2025-54886 (skops)",
    lambda: checkpoint(mapping(
    {"w": instance("os", "system", mapping({"__setstate__": symbol("os", "system")}))})), UnsupportedError,
    "the file holds no tensors")

# Storages and views that lie.
pickle_is_refused("SETITEM on what is no dict", "CVE-2026-24747", listed() + text("a") + b"Ns",
    "SETITEM(S) needs a dict")
pickle_is_refused("a storage longer than its record", "CVE-2026-24747", tensor(over=storage(count=2**40)),
                  "storage '0' is said to have 1099511627776 items of 4 bytes, its record has 48 bytes")
pickle_is_refused("a view beyond its storage", "CWE-125", tensor((4, 3), offset=2**40),
                  "and offset 1099511627776 reads item")
pickle_is_refused("a view of negative stride", "CWE-125", tensor((4, 3), (-3, 1)), "the strides of a tensor must be")
pickle_is_refused("a view of 4 TB with stride 0", "CWE-789", tensor((2**20, 2**20), (0, 0)),
                  "has more items than storage '0', which has 12")
pickle_is_refused("sizes whose product overflows", "CWE-190", tensor((2**40, 2**40)),
                  "the shape [1099511627776, 1099511627776] is out of range")
pickle_is_refused("a storage named ../../../etc/passwd", "CWE-22", tensor(over=storage("../../../etc/passwd")),
                  "zip: no record 'a/data/../../../etc/passwd'")
pickle_is_refused("a storage type of another module", "CWE-843", tensor(over=storage(kind=symbol("os",
    "FloatStorage"))),
                  "a storage of the type 'os.FloatStorage' is not supported", UnsupportedError)
TABLE.refuse("forty views of one storage", "CWE-409", lambda: checkpoint(mapping(
    {f"w{i}": tensor((2**18,), (1,), over=storage(count=2**18)) for i in range(40)}), {"0": bytes(2**20)}), FormatError,
    "40 tensors of 41943040 bytes in all share 1048576 stored bytes")

# Bombs.
TABLE.refuse("a billion laughs by memo", "CVE-2003-1564 in pickle", lambda: checkpoint(items(stack_of_lists(12),
    b"h\x0c")),
             FormatError, "more than 1500000 items or 300000 containers, counted as often as they are shared")
TABLE.refuse("a billion laughs by DUP", "CVE-2003-1564 in pickle", lambda: checkpoint(b"(2222t"), FormatError,
             "opcode DUP is not allowed")
TABLE.refuse("a list in itself", "CWE-674", lambda: checkpoint(b"]q\x07" + tensor() + b"ah\x07a"), FormatError,
    "the container '1' holds itself")
TABLE.refuse("tuples 100,000 deep", "CWE-674", lambda: checkpoint(tensor() + b"\x85" * 100_000),
    FormatError,
             "nested more than 10000 deep")
TABLE.refuse("MARK a million times", "CWE-400", lambda: raw(b"\x80\x02" + MARK * 1_000_000 + b"."), FormatError,
             "more than 256 tuples or lists open at once")
TABLE.refuse("two million opcodes", "CWE-400", lambda: raw(b"\x80\x02" + b"Nq\x00" * 1_000_000 + b"."), FormatError,
             "more than 1000000 opcodes")
TABLE.refuse("text of 4 GB in 20 bytes", "CWE-789", lambda: raw(b"\x80\x02X\xff\xff\xff\xffabc."), FormatError,
             "4294967295 bytes are needed, 4 are left")
TABLE.refuse("bytes of 2^63 by BINBYTES8", "CVE-2018-20406 and its kind", lambda: raw(b"\x80\x04\x8e" + b"\xff" * 7
                                                                                     + b"\x7f."), FormatError,
             "opcode BINBYTES8 is not allowed")
TABLE.refuse("a memo index of 2^32 - 1", "CVE-2018-20406", lambda: raw(b"\x80\x02Nr\xff\xff\xff\xff."), FormatError,
             "memo index 4294967295; at most 1000000 are allowed")
TABLE.refuse("a whole number of 255 bytes", "CVE-2020-10735", lambda: raw(b"\x80\x02\x8a\xff" + b"\x01" * 255 + b"."),
             FormatError, "an integer of 255 bytes; at most 16 are allowed")
TABLE.refuse("100,000 dict keys of one hash", "hash flooding, CVE-2012-1150", lambda: checkpoint(mapping(
    {"a": colliding(100_000), "w": tensor()})), FormatError, "a dict key that is a whole number beyond 2^60")
TABLE.refuse("a tuple as dict key, to be hashed", "CWE-407", lambda: checkpoint(
    b"}" + items() + b"q\x00" + b"h\x00\x86q\x00" * 60 + b"Ns"), UnsupportedError,
             "the file holds no tensors")
