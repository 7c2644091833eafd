"""Changes to bytes of any format."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

LIMITS = (0, 1, 2, 7, 8, 63, 64, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**33,
          2**47, 2**48, 2**61, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


def damaged(data: bytes, rng: random.Random, words: Sequence[bytes] = ()) -> bytes:
    """One to four changes: bits, bytes, numbers at the limits of their type, words, pieces moved, doubled or lost."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(made) + 1)
        end = min(len(made), at + 1 + int(rng.expovariate(1 / 8)))
        kind = rng.randrange(8)
        if kind == 0 and at < len(made):
            made[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(made):
            made[at] = rng.randrange(256)
        elif kind == 2:
            del made[at:end]
        elif kind == 3:
            made[at:at] = rng.randbytes(end - at + 1)
        elif kind == 4:
            to = rng.randrange(len(made) + 1)
            made[to:to] = made[at:end]
        elif kind == 5:
            width, form = rng.choice(((1, "<B"), (2, "<H"), (4, "<I"), (8, "<Q")))
            made[at:at + width] = struct.pack(form, rng.choice(LIMITS) % (1 << 8 * width))
        elif kind == 6 and words:
            made[at:at + rng.choice((0, end - at))] = rng.choice(words)
        elif rng.random() < 0.1:
            del made[at:]
    return bytes(made)
