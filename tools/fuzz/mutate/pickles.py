"""Changes to pickles by their opcodes."""

from __future__ import annotations

import pickletools
import random
import struct
from collections.abc import Sequence

from torch_bytes import call, items, mapping, number, storage, symbol, tensor, text

from . import raw

PARTS = (b"N", b"\x88", b"\x89", b"]", b"}", b")", b"(", b"0", b"1", b"2", b"e", b"u", b"t", b"s", b"a", b"b", b"R",
         b"\x81", b"\x85", b"\x86", b"\x87", b"Q", b"q\x00", b"q\x07", b"h\x00", b"h\x07", b"\x94",
         text("weight_ih_l0"), text("state_dict"), text("\ud7ff"), number(0), number(-1), number(2**31),
         number(2**62), number(2**63), number(2**64 - 1), b"G" + struct.pack(">d", float("nan")), tensor(), storage(),
         tensor((0, 2**33, 2**33), (1, 1, 1)), tensor((1, 1), (0, 0)), mapping({"w": tensor()}), items(number(3)),
         symbol("torch", "FloatStorage"), symbol("torch._utils", "_rebuild_tensor_v3"), symbol("collections",
         "OrderedDict"), symbol("os", "system"), call(symbol("torch._utils", "_rebuild_parameter"), tensor(), b"\x88",
                                                      b"N"))


def damaged(data: bytes, rng: random.Random, words: Sequence[bytes] = ()) -> bytes:
    """A pickle with one to four opcodes lost, doubled, swapped or put in; seldom with bytes changed."""
    codes = _codes(data)
    if len(codes) < 3 or rng.random() < 0.15:
        return raw.damaged(data, rng, words)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, kind = rng.randrange(1, len(codes)), rng.randrange(5)
        if kind == 0:
            del codes[at]
        elif kind == 1:
            codes.insert(at, rng.choice(codes))
        elif kind == 2:
            codes.insert(at, rng.choice(PARTS))
        elif kind == 3:
            codes[at] = rng.choice(PARTS)
        else:
            end = min(len(codes), at + rng.randrange(1, 12))
            place = rng.randrange(1, len(codes))
            codes[place:place] = codes[at:end] * rng.choice((1, 1, 3))
        if len(codes) < 3:
            break
    return b"".join(codes)


def _codes(data: bytes) -> list[bytes]:
    """The opcodes with their arguments, and what follows the first that cannot be read."""
    places: list[int] = []
    try:
        places.extend(place for _, _, place in pickletools.genops(data) if place is not None)
    except Exception:                                      # whatever the tool says of broken pickles
        pass
    ends = [*places[1:], len(data)]
    return [data[start:end] for start, end in zip(places, ends)]
