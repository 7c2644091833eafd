"""Bytes of a protobuf message, where no parser is to look at them: how a file begins, and whether it is whole.

A field is a tag (its number << 3 | its kind), and a number, or for kind 2 a length and as many bytes.
"""

from __future__ import annotations

_MOST_PLACES = 10         # of base 128 in 64 bits


def number_at(data: bytes, position: int) -> tuple[int, int]:
    """A number of base 128, and where it ends: beyond the end of data that ends in it."""
    number = 0
    for place in range(_MOST_PLACES):
        if position >= len(data):
            return 0, position + 1
        number |= (data[position] & 127) << (7 * place)
        position += 1
        if data[position - 1] < 128:
            break
    return number, position


def encoded(number: int) -> bytes:
    """A number of base 128."""
    places = bytearray()
    while number > 127:
        places.append(number & 127 | 128)
        number >>= 7
    places.append(number)
    return bytes(places)
