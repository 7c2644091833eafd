"""A restricted unpickler: an allow-list of opcodes, symbols in place of globals, limits on everything.

Nothing that a file names is imported, looked up or called, and there is no fallback to a real unpickler: the
result holds None, bools, numbers, text, bytes, lists, tuples, dicts and what `symbols` and `rebuild` define.
Source of the opcodes: CPython's Lib/pickletools.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NoReturn

from ....errors import FormatError, UnsupportedError
from .rebuild import build, new_object, rebuild
from .symbols import Instance, Key, Symbol

MAX_BYTES = 32 << 20           # of one pickle; text can take four times as much in memory
MAX_OPCODES = 1_000_000        # about a second
MAX_MARKS = 256                # tuples and lists open at once
MAX_PROTOCOL = 5
MAX_LONG_BYTES = 16
MAX_NAME_BYTES = 512
MAX_KEY = 1 << 60              # of whole numbers: larger ones are hashed modulo 2^61 - 1, and its multiples all alike

_KEYS = (str, bytes, int, float, bool, type(None))     # hashing a nested tuple can take exponential time
_MARK = object()


def unpickle(data: bytes, part: str, persistent: Callable[[Any], Any], start: int = 0) -> tuple[Any, int]:
    """The object that a pickle describes and the position behind it.

    data: the bytes of the file's part named `part`; the pickle begins at `start`.
    persistent: gives the object of a persistent id (a storage).
    Raises FormatError naming the part, the byte and the opcode.
    """
    return _Machine(data, part, persistent, start).run()


class _Machine:
    """The pickle machine: a stack, a memo, a position."""

    def __init__(self, data: bytes, part: str, persistent: Callable[[Any], Any], start: int) -> None:
        self.data, self.part, self.persistent, self.position = data, part, persistent, start
        self.end = min(len(data), start + MAX_BYTES)
        self.at = start                     # of the opcode being run
        self.stack: list[Any] = []
        self.marks = 0
        self.copied = 0
        self.memo: dict[int, Any] = {}

    def run(self) -> tuple[Any, int]:
        for _ in range(MAX_OPCODES):
            self.at = self.position
            code = self.take(1)[0]
            if code == 0x2E:
                result = self.pop()
                if self.stack:
                    self.fail(f"STOP leaves {len(self.stack)} objects on the stack")
                return result, self.position
            operation = _OPERATIONS.get(code)
            if operation is None:
                self.fail(f"opcode {_REFUSED.get(code, f'0x{code:02x}')} is not allowed")
            operation(self)
        self.fail(f"more than {MAX_OPCODES} opcodes")

    def fail(self, message: str, kind: type[FormatError | UnsupportedError] = FormatError) -> NoReturn:
        raise kind(f"{self.part}: byte {self.at}: {message}")

    def take(self, count: int) -> bytes:
        """The next bytes of the pickle."""
        if count > self.end - self.position:
            if self.end < len(self.data):
                self.fail(f"more than {MAX_BYTES} bytes of pickle")
            self.fail(f"{count} bytes are needed, {self.end - self.position} are left")
        self.position += count
        return self.data[self.position - count:self.position]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def line(self) -> str:
        end = self.data.find(b"\n", self.position, min(self.end, self.position + MAX_NAME_BYTES))
        if end < 0:
            self.fail(f"a name without an end in {MAX_NAME_BYTES} bytes")
        text = self.text(self.data[self.position:end])
        self.position = end + 1
        return text

    def text(self, raw: bytes) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self.fail("text that is not UTF-8")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            self.fail("the stack is empty")
        return self.stack.pop()

    def container(self, kind: type, opcode: str) -> Any:
        """The dict or list on top of the stack, or the entries of an object whose class derives from one."""
        top = self.stack[-1] if self.stack else _MARK
        if isinstance(top, Instance):
            return top.entries if kind is dict else top.elements
        if not isinstance(top, kind):
            self.fail(f"{opcode} needs a {kind.__name__}, got {_kind(top)}")
        return top

    def mark(self) -> None:
        self.marks += 1
        if self.marks > MAX_MARKS:
            self.fail(f"more than {MAX_MARKS} tuples or lists open at once")
        self.stack.append(_MARK)

    def pop_mark(self) -> list[Any]:
        if not self.marks:
            self.fail("no MARK on the stack")
        where = len(self.stack) - 1
        while self.stack[where] is not _MARK:
            where -= 1
        items = self.stack[where + 1:]
        del self.stack[where:]
        self.marks -= 1
        return items

    def tuple_of(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    def set_items(self, items: list[Any]) -> None:
        target = self.container(dict, "SETITEM(S)")
        if len(items) % 2:
            self.fail("SETITEMS of a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, _KEYS):
                key = Key(_kind(key))
            if type(key) is int and not -MAX_KEY < key < MAX_KEY:
                self.fail("a dict key that is a whole number beyond 2^60")
            if key in target:
                self.fail(f"the key {key!r:.100} stands twice in one dict")
            target[key] = value

    def append_items(self, items: list[Any]) -> None:
        self.container(list, "APPEND(S)").extend(items)

    def put(self, index: int) -> None:
        if index > MAX_OPCODES:
            self.fail(f"memo index {index}; at most {MAX_OPCODES} are allowed")
        if not self.stack or self.stack[-1] is _MARK:
            self.fail("nothing to memoize")
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        if index not in self.memo:
            self.fail(f"memo index {index} was never set")
        self.push(self.memo[index])

    def protocol(self) -> None:
        version = self.number(1)
        if not 2 <= version <= MAX_PROTOCOL:
            self.fail(f"pickle protocol {version}; supported: 2 to {MAX_PROTOCOL}")

    def long(self) -> None:
        size = self.number(1)
        raw = self.take(size) if size <= MAX_LONG_BYTES + 1 else b""
        # A zero above the highest bit of a positive number is its sign: the state of a generator has 128 bits.
        if len(raw) != size or size > MAX_LONG_BYTES and raw[-1]:
            self.fail(f"an integer of {size} bytes; at most {MAX_LONG_BYTES} are allowed")
        self.push(int.from_bytes(raw, "little", signed=True))

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        if not (isinstance(name, str) and isinstance(module, str)) or len(name) + len(module) > MAX_NAME_BYTES:
            self.fail(f"a global named by a {_kind(module)} and a {_kind(name)}")
        self.push(Symbol(module, name))

    def call(self, apply: Callable[[Any, Any], Any], opcode: str) -> None:
        """REDUCE, NEWOBJ and BUILD: what they mean is decided by the table in `rebuild`, never by the file."""
        argument, target = self.pop(), self.pop()
        if isinstance(argument, tuple) and argument and isinstance(argument[0], (dict, list)):
            self.copied += len(argument[0])          # a dict made of another; one in the memo can be the other often
            if self.copied > MAX_OPCODES:
                self.fail(f"opcode {opcode}: more than {MAX_OPCODES} items are copied")
        try:
            self.push(apply(target, argument))
        except (FormatError, UnsupportedError) as error:
            self.fail(f"opcode {opcode}: {error}", type(error))

    def persistent_id(self) -> None:
        try:
            self.push(self.persistent(self.pop()))
        except (FormatError, UnsupportedError) as error:
            self.fail(f"opcode BINPERSID: {error}", type(error))


def _kind(value: Any) -> str:
    return "MARK" if value is _MARK else type(value).__name__


_OPERATIONS: dict[int, Callable[[_Machine], None]] = {
    ord(code): operation for code, operation in {
        "\x80": _Machine.protocol,
        "\x95": lambda m: (m.take(8), None)[1],                                   # FRAME: a hint for readers
        "(": _Machine.mark,
        "N": lambda m: m.push(None),
        "\x88": lambda m: m.push(True),
        "\x89": lambda m: m.push(False),
        "K": lambda m: m.push(m.number(1)),
        "M": lambda m: m.push(m.number(2)),
        "J": lambda m: m.push(int.from_bytes(m.take(4), "little", signed=True)),
        "\x8a": _Machine.long,
        "G": lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
        "X": lambda m: m.push(m.text(m.take(m.number(4)))),                       # BINUNICODE
        "\x8c": lambda m: m.push(m.text(m.take(m.number(1)))),                    # SHORT_BINUNICODE
        "U": lambda m: m.push(m.take(m.number(1)).decode("latin-1")),             # SHORT_BINSTRING: Python 2's str
        "T": lambda m: m.push(m.take(m.number(4)).decode("latin-1")),             # BINSTRING
        "C": lambda m: m.push(m.take(m.number(1))),                               # SHORT_BINBYTES
        "B": lambda m: m.push(m.take(m.number(4))),                               # BINBYTES
        "\x96": lambda m: m.push(m.take(m.number(8))),                            # BYTEARRAY8
        "]": lambda m: m.push([]),
        "\x8f": lambda m: m.push([]),                                             # EMPTY_SET: order is kept
        "\x90": lambda m: m.append_items(m.pop_mark()),                           # ADDITEMS
        "\x91": lambda m: m.push(m.pop_mark()),                                   # FROZENSET
        ")": lambda m: m.push(()),
        "}": lambda m: m.push({}),
        "t": lambda m: m.push(tuple(m.pop_mark())),
        "\x85": lambda m: m.tuple_of(1),
        "\x86": lambda m: m.tuple_of(2),
        "\x87": lambda m: m.tuple_of(3),
        "a": lambda m: m.append_items([m.pop()]),
        "e": lambda m: m.append_items(m.pop_mark()),
        "s": lambda m: m.set_items([m.pop(), m.pop()][::-1]),
        "u": lambda m: m.set_items(m.pop_mark()),
        "q": lambda m: m.put(m.number(1)),
        "r": lambda m: m.put(m.number(4)),
        "\x94": lambda m: m.put(len(m.memo)),                                     # MEMOIZE
        "h": lambda m: m.get(m.number(1)),
        "j": lambda m: m.get(m.number(4)),
        "c": lambda m: m.push(Symbol(m.line(), m.line())),                        # GLOBAL
        "\x93": _Machine.stack_global,
        "Q": _Machine.persistent_id,
        "R": lambda m: m.call(rebuild, "REDUCE"),
        "\x81": lambda m: m.call(new_object, "NEWOBJ"),
        "b": lambda m: m.call(build, "BUILD"),
    }.items()
}

# Known opcodes that torch never needs, by the names that make a message clear.
_REFUSED = {ord(code): name for code, name in {
    "i": "INST", "o": "OBJ", "\x82": "EXT1", "\x83": "EXT2", "\x84": "EXT4", "P": "PERSID", "\x92": "NEWOBJ_EX",
    "0": "POP", "1": "POP_MARK", "2": "DUP", "I": "INT", "L": "LONG", "\x8b": "LONG4", "F": "FLOAT", "S": "STRING",
    "V": "UNICODE", "l": "LIST", "d": "DICT", "p": "PUT", "g": "GET", "\x8d": "BINUNICODE8", "\x8e": "BINBYTES8",
    "\x97": "NEXT_BUFFER", "\x98": "READONLY_BUFFER"}.items()}
