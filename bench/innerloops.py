"""Inner loops of compiled kernels, read from a disassembly: instructions for each multiply-add."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_FUNCTION = re.compile(r"^[0-9a-f]+ <(?P<name>[^>]+)>:$")
_OBJECT = re.compile(r"^(?P<name>\S+\.o):\s+file format")
_LINE = re.compile(r"^\s+(?P<at>[0-9a-f]+):\s+(?P<mnemonic>[a-z][\w.,]*)(?P<rest>.*)$")
_JUMP = re.compile(r"^\s*(?P<to>[0-9a-f]+) <")
# Below this a loop is no product: a polynomial of an activation over an array, say.
LEAST_FMAS = 4


@dataclass(frozen=True)
class Loop:
    """Instructions and zmm multiply-adds of one innermost loop."""

    instructions: int
    fmas: int


def _innermost(body: list[tuple[int, str, str]]) -> list[Loop]:
    """Loops of one function (address, mnemonic, operands) that hold no other loop."""
    first = body[0][0] if body else 0
    spans = []
    for at, mnemonic, rest in body:
        jump = _JUMP.match(rest) if mnemonic.startswith("j") else None
        if jump and first <= int(jump["to"], 16) <= at:
            spans.append((int(jump["to"], 16), at))
    loops = []
    for low, high in spans:
        if any(low <= other[0] and other[1] <= high and other != (low, high) for other in spans):
            continue
        inside = [(mnemonic, rest) for at, mnemonic, rest in body if low <= at <= high]
        fmas = sum(mnemonic.startswith(("vfmadd", "vfnmadd")) and "zmm" in rest for mnemonic, rest in inside)
        loops.append(Loop(len(inside), fmas))
    return loops


def inner_loops(objects: Sequence[Path]) -> dict[str, list[Loop]]:
    """The product loops of objects of AVX-512 code, by "object:function"."""
    text = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", *map(str, objects)], capture_output=True, text=True, check=True
    ).stdout
    found: dict[str, list[Loop]] = {}
    unit, name = "", ""
    body: list[tuple[int, str, str]] = []

    def close() -> None:
        loops = sorted(
            (loop for loop in _innermost(body) if loop.fmas >= LEAST_FMAS),
            key=lambda loop: (loop.fmas, loop.instructions),
        )
        if loops:
            found[f"{unit}:{name}"] = loops

    for line in text.splitlines():
        if match := _OBJECT.match(line):
            close()
            unit, body = Path(match["name"]).stem.rpartition("__")[2], []
        elif match := _FUNCTION.match(line):
            close()
            name, body = match["name"], []
        elif match := _LINE.match(line):
            body.append((int(match["at"], 16), match["mnemonic"], match["rest"]))
    close()
    return found
