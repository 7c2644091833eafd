"""How the elements of a program's tensors stand in memory, as far as their strides tell."""

from __future__ import annotations

import re
from typing import Any

_SYMBOL = r"Symbol\('(\w{1,40})'(?:, \w{1,20}=True){0,4}\)"
_FACTOR = re.compile(rf"{_SYMBOL}|Integer\((\d{{1,18}})\)")
_PRODUCT = re.compile(rf"Mul\((?:{_SYMBOL}|Integer\(\d{{1,18}}\))(?:, (?:{_SYMBOL}|Integer\(\d{{1,18}}\))){{1,64}}\)")
MOST_TEXT = 4_000

Product = tuple[int, tuple[str, ...]]           # a number times symbols, in order


def contiguous(sizes: list[Any], strides: Any) -> bool | None:
    """Whether a tensor of these serialized sizes and strides is contiguous; None where that cannot be told, and where
    open sizes of 1 would make it so."""
    if not isinstance(strides, list) or len(strides) != len(sizes):
        return None
    expected: Product = (1, ())
    fits = True
    for size, stride in zip(reversed(sizes), reversed(strides)):
        length, step = _product(size), _product(stride)
        if length is None or step is None:
            return None
        if length != (1, ()):               # where there is one element, no step is ever made
            fits = fits and step == expected
        expected = length[0] * expected[0], tuple(sorted(length[1] + expected[1]))
    if fits:
        return True
    return False if not expected[1] and all(not step[1] for step in map(_product, strides) if step) else None


def _product(item: Any) -> Product | None:
    """A serialized size that is a number, a symbol or a product of these."""
    if not isinstance(item, dict) or len(item) != 1:
        return None
    (kind, body), = item.items()
    if kind == "as_int":
        return (body, ()) if type(body) is int and 0 <= body < 2**63 else None
    text = body.get("expr_str") if kind == "as_expr" and isinstance(body, dict) else None
    if not isinstance(text, str) or len(text) > MOST_TEXT:
        return None
    if re.fullmatch(r"[A-Za-z_]\w{0,40}", text):
        return 1, (text,)
    if not _FACTOR.fullmatch(text) and not _PRODUCT.fullmatch(text):
        return None
    number, symbols = 1, []
    for found in _FACTOR.finditer(text):
        if found[1]:
            symbols.append(found[1])
        else:
            number *= int(found[2])
    return number, tuple(sorted(symbols))
