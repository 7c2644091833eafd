"""What the values in a loop's body are, as sums of products: two ways of writing one equation become the same sum.

A value [rows, width] is a row of blocks side by side, each a sum of terms `coefficient * product of atoms`. An atom is
elements of a value that is taken as it is: a state, the step of a sequence, the result of an activation, or a truth
value of the whole row. A coefficient is a number for all elements, one for each, or a matrix that the product is
multiplied by.

Constants are put together as real numbers, where the file's own arithmetic rounds, overflows and loses what is small at
every step. So they are put together only where the two cannot differ by more than sums of floats always do: see
`multiplied` and `_together`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

MOST_TERMS = 16             # of one block; an LSTM's cell state has two, that of masked steps six
MOST_BLOCKS = 64            # of one value; gates side by side have three or four
FARTHEST = 2.0**64          # from 1 that products of constants may be; float32 ends at 2**128
LARGE = 64                  # a constant beyond this rounds away what is added to it before most of it is taken off


class NotACell(Exception):
    """Why a body is not recognised; said where the loop is refused."""


@dataclass(frozen=True, order=True)
class Atom:
    """Elements start to stop of a value. of_row: one truth value, for all elements of the row."""

    value: str
    start: int
    stop: int
    of_row: bool = False

    def part(self, start: int, stop: int) -> Atom:
        return self if self.of_row else Atom(self.value, self.start + start, self.start + stop)


Product = tuple[Atom, ...]                  # in order; () is 1
Terms = dict[Product, np.ndarray]           # coefficients: [], [width], or [width of the product, width]


@dataclass(frozen=True, eq=False)
class Block:
    """A sum; without terms it is 0."""

    width: int
    terms: Terms

    def part(self, start: int, stop: int) -> Block:
        """Elements start to stop."""
        if (start, stop) == (0, self.width):
            return self
        made: Terms = {}
        for product, coefficient in self.terms.items():
            if coefficient.ndim < 2:
                product = tuple(sorted(atom.part(start, stop) for atom in product))
            made[product] = coefficient[..., start:stop] if coefficient.ndim else coefficient
        return Block(stop - start, made)

    @property
    def of_row(self) -> bool:
        """Whether it is the same number for all elements of a row."""
        return all(not c.ndim and all(atom.of_row for atom in product) for product, c in self.terms.items())

    def is_only(self, product: Product) -> bool:
        """Whether it is this product, once."""
        return list(self.terms) == [product] and is_one(self.terms[product])

    def is_same(self, other: Block) -> bool:
        return self.width == other.width and self.terms.keys() == other.terms.keys() and all(
            coefficient.shape == other.terms[product].shape and np.array_equal(coefficient, other.terms[product])
            for product, coefficient in self.terms.items())


Expression = tuple[Block, ...]


def multiplied(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The product of two constants, element by element, in float64. Raises NotACell where floats may not have it."""
    with np.errstate(over="ignore", invalid="ignore"):
        total: np.ndarray = np.asarray(np.multiply(one, other, dtype=np.float64))
    if not any(c.size == 1 and abs(c.item()) == 1 for c in (one, other)):
        check_range(total)
    return total


def times_number(array: np.ndarray, factor: float) -> np.ndarray:
    """A constant times a number, in the constant's type. Raises NotACell where that may not have it."""
    return array if factor == 1 else multiplied(array, np.array(factor)).astype(array.dtype)


def check_range(product: np.ndarray) -> None:
    """Raise NotACell for a product of constants near the ends of what floats have, or beyond."""
    largest = max(product.max(), -product.min()) if product.size else 0.0
    if not (largest == 0 or 1 / FARTHEST <= largest <= FARTHEST):         # of a NaN neither is true
        raise NotACell(f"constants multiplied with each other give {largest:.3g}, which rounds otherwise step by step")


def is_large(constant: np.ndarray) -> bool:
    """Whether a constant is so far from 0 that what is near it is rounded by as much as results may be off."""
    return bool(np.abs(constant).max() > LARGE)


def is_one(coefficient: np.ndarray) -> bool:
    return not coefficient.ndim and coefficient == 1


def width_of(expression: Expression) -> int:
    return sum(block.width for block in expression)


def atom(value: str, width: int, of_row: bool = False) -> Expression:
    """A value that is taken as it is."""
    return (Block(width, {(Atom(value, 0, width, of_row),): np.array(1.0)}),)


def constant(array: np.ndarray, width: int) -> Expression:
    """A constant that is the same for all rows. Raises NotACell for another."""
    if any(size != 1 for size in array.shape[:-1]) or array.size not in (1, width):
        raise NotACell(f"a constant {list(array.shape)} differs from row to row")
    return (_block(width, {(): array.reshape(-1) if array.size > 1 else array.reshape(())}),)


def joined(expressions: Sequence[Expression]) -> Expression:
    """Side by side."""
    made = tuple(block for expression in expressions for block in expression)
    if len(made) > MOST_BLOCKS:
        raise NotACell(f"a value is put together of more than {MOST_BLOCKS} parts")
    return made


def part(expression: Expression, start: int, stop: int) -> Expression:
    """Elements start to stop."""
    made, at = [], 0
    for block in expression:
        low, high = max(start - at, 0), min(stop - at, block.width)
        if low < high:
            made.append(block.part(low, high))
        at += block.width
    return tuple(made)


def whole(expression: Expression, what: str) -> Block:
    """The one block of an expression."""
    if len(expression) != 1:
        raise NotACell(f"{what} is put together of {len(expression)} parts")
    return expression[0]


def is_same(one: Expression, other: Expression) -> bool:
    return width_of(one) == width_of(other) and all(a.is_same(b) for a, b in _aligned(one, other))


def plus(one: Expression, other: Expression) -> Expression:
    return tuple(_sum(a, b) for a, b in _aligned(*_same_width(one, other)))


def scaled(expression: Expression, factor: np.ndarray) -> Expression:
    """Multiplied by a number, or by one for each element."""
    check_range(factor)
    made, at = [], 0
    for block in expression:
        by = factor.reshape(-1)[at:at + block.width] if factor.size > 1 else factor.reshape(())
        made.append(_block(block.width, {product: multiplied(c, by) for product, c in block.terms.items()}))
        at += block.width
    return tuple(made)


def times(one: Expression, other: Expression) -> Expression:
    """Element by element. Both must be `simple`."""
    return tuple(_multiplied(a, b) for a, b in _aligned(*_same_width(one, other)))


def simple(expression: Expression) -> bool:
    """Whether it is made of atoms and numbers alone, so that products with it can be written out."""
    return all(not c.ndim for block in expression for c in block.terms.values())


def times_matrix(expression: Expression, matrix: np.ndarray) -> Expression:
    """Each row times a matrix [width, n]. No coefficient may be a matrix already."""
    width, at = matrix.shape[1], 0
    total = Block(width, {})
    for block in expression:
        rows = matrix[at:at + block.width]
        at += block.width
        made: Terms = {}
        for product, c in block.terms.items():
            if not product:
                made[()] = np.matmul(np.broadcast_to(c, block.width), rows, dtype=np.float64)
                check_range(made[()])
            elif all(item.of_row for item in product):
                raise NotACell("a truth value is multiplied by a matrix")
            else:
                made[product] = rows if is_one(c) else multiplied(rows, c if not c.ndim else c[:, None])
        total = _sum(total, _block(width, made))
    return (total,)


def only_where(block: Block, truth: Atom, is_true: bool) -> Block:
    """The block in rows where a truth value is so."""
    total = Block(block.width, {})
    for product, coefficient in block.terms.items():
        if truth in product and not is_true:
            continue
        rest = tuple(item for item in product if item != truth)
        total = _sum(total, Block(block.width, {rest: coefficient}))
    return total


def _block(width: int, terms: Terms) -> Block:
    """A block of coefficients as they are compared: no zeros, and one number where all are the same."""
    made: Terms = {}
    for product, c in terms.items():
        if c.ndim == 1 and (c == c[0]).all():
            c = c[0]
        if c.any():
            made[product] = np.asarray(c)
    if len(made) > MOST_TERMS:
        raise NotACell(f"a value is a sum of more than {MOST_TERMS} products")
    return Block(width, made)


def widened(expression: Expression, width: int) -> Expression:
    """An expression of so many features: one number of the whole row is the same for all of them."""
    present = width_of(expression)
    if present == 1 and expression[0].of_row:
        return (Block(width, expression[0].terms),)
    if present != width:
        raise NotACell(f"values of {present} and {width} features meet")
    return expression


def _same_width(one: Expression, other: Expression) -> tuple[Expression, Expression]:
    width = max(width_of(one), width_of(other))
    return widened(one, width), widened(other, width)


def _aligned(one: Expression, other: Expression) -> Iterator[tuple[Block, Block]]:
    """Blocks of two expressions of one width, cut where either has a border."""
    ends = sorted({*_ends(one), *_ends(other)})
    for start, stop in zip([0, *ends], ends):
        (a,), (b,) = part(one, start, stop), part(other, start, stop)
        yield a, b


def _ends(expression: Sequence[Block]) -> list[int]:
    return [int(end) for end in np.cumsum([block.width for block in expression])]


def _sum(one: Block, other: Block) -> Block:
    terms = dict(one.terms)
    for product, c in other.terms.items():
        present = terms.get(product)
        terms[product] = c if present is None else _together(present, c, product, one.width)
    return _block(one.width, terms)


def _together(one: np.ndarray, other: np.ndarray, product: Product, width: int) -> np.ndarray:
    """The sum of two coefficients."""
    if product and max(one.ndim, other.ndim) == 2:
        one, other = (c if c.ndim == 2 else np.diag(np.broadcast_to(c, width)) for c in (one, other))
        if one.shape != other.shape:
            raise NotACell("products of different widths meet")
    with np.errstate(invalid="ignore"):
        total: np.ndarray = np.asarray(np.add(one, other, dtype=np.float64))
    most = np.maximum(np.abs(one), np.abs(other))
    if np.any((most > LARGE) & ~(np.abs(total) >= most / LARGE)):
        raise NotACell("large constants that nearly cancel each other are added, which rounds otherwise step by step")
    return total


def _multiplied(one: Block, other: Block) -> Block:
    total = Block(one.width, {})
    if len(one.terms) * len(other.terms) > MOST_TERMS:
        raise NotACell(f"a value is a sum of more than {MOST_TERMS} products")
    for a, c in one.terms.items():
        for b, d in other.terms.items():
            product = [*a, *(item for item in b if not (item.of_row and item in a))]    # truth values: their own square
            total = _sum(total, Block(one.width, {tuple(sorted(product)): multiplied(c, d)}))
    return total
