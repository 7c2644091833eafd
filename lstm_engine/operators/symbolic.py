"""Arithmetic on sizes before they are numbers: ints, symbols (strings), None where nothing is known.

Exporters compute shapes in the graph. What an operator makes of such elements is told as far as it holds for every
number that a symbol may stand for; a size is never negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..graph.nodes import Dim


def product_of(dims: Sequence[Dim | None]) -> Dim | None:
    result: Dim | None = 1
    for dim in dims:
        result = mul(result, dim)
    return result


def _known(*values: Any) -> bool:
    return not any(v is None or isinstance(v, str) for v in values)


def add(a: Any, b: Any) -> Any:
    return a + b if _known(a, b) else a if b == 0 else b if a == 0 else None


def sub(a: Any, b: Any) -> Any:
    return a - b if _known(a, b) else a if b == 0 else 0 if a == b and a is not None else None


def mul(a: Any, b: Any) -> Any:
    if 0 in (a, b):
        return 0
    return a * b if _known(a, b) else a if b == 1 else b if a == 1 else None


def div(a: Any, b: Any) -> Any:
    if _known(a, b) and b != 0:
        return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return a if b == 1 else None


def equal(a: Any, b: Any) -> bool | None:
    if _known(a, b):
        return bool(a == b)
    if a is not None and a == b:
        return True
    # A size is never negative.
    return False if any(isinstance(v, int) and v < 0 and isinstance(w, str) for v, w in ((a, b), (b, a))) else None


def greater(a: Any, b: Any) -> bool | None:
    if _known(a, b):
        return bool(a > b)
    if isinstance(a, str) and isinstance(b, int) and b < 0:
        return True
    return False if (isinstance(a, int) and a <= 0 and isinstance(b, str)) or (a is not None and a == b) else None


def negated(a: Any) -> bool | None:
    return None if a is None else not a


def both(a: Any, b: Any) -> bool | None:
    return False if a is False or b is False else None if a is None or b is None else True


def either(a: Any, b: Any) -> bool | None:
    return negated(both(negated(a), negated(b)))


def greatest(a: Any, b: Any) -> Any:
    if _known(a, b):
        return max(a, b)
    return a if a == b or (isinstance(b, int) and b <= 0 and a is not None) else \
        b if isinstance(a, int) and a <= 0 and b is not None else None


def least(a: Any, b: Any) -> Any:
    return min(a, b) if _known(a, b) else a if a == b else None
