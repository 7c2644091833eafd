"""Recognises the cell that a loop's body computes, by its equations: what is not exactly one of them is none.

    LSTM: i, o, f = F(x W' + h R' + P * c + b)      g = G(x W' + h R' + b)      c' = f c + i g      h' = o H(c')
    GRU:  z, r = F(x W' + h R' + b)                 n = G(x W' + (r h) R' + b), or G(x W' + r (h R' + Rb) + Wb)
          h' = z h + (1 - z) n
    RNN:  h' = F(x W' + h R' + b)

(ONNX's operators LSTM, GRU and RNN, in their own letters but for g and n.) Where a truth value says so the states may
stay what they were, as Keras' masks have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ....graph.activations import LINEAR, SIGMOID, Activation
from . import expressions as ex
from .body import Body
from .expressions import Atom, Block, Expression, NotACell, Product, is_one
from .replayed import sequence_of

NO_CELL_STATE = "its cell state is not f * c + i * g"


@dataclass(frozen=True, eq=False)
class Equations:
    """A cell: its weights by gate in ONNX's order, and what of the body is what.

    xs: the sequences it reads, side by side. W [gates*H, I], R [gates*H, H or P], B [2*gates*H], P [3*H] or None,
    projection [P, H] or None.
    """

    op: str
    xs: tuple[str, ...]
    W: np.ndarray
    R: np.ndarray
    B: np.ndarray | None
    activations: tuple[Activation, ...]
    P: np.ndarray | None = None
    projection: np.ndarray | None = None
    clip: float | None = None
    options: Mapping[str, bool | str] = field(default_factory=dict)


def cell_of(body: Body, h: str, c: str, new_h: Expression, new_c: Expression | None, dtype: str) -> Equations:
    """The cell whose states h and c ("" for none) become new_h and new_c. Raises NotACell."""
    finder = _Finder(body, h, c, dtype)
    new = ex.whole(new_h, "the state")
    made = next(iter(new.terms), ())
    if len(new.terms) == 1 and len(made) == 1 and made[0].value in body.cells:
        return finder.step(new, new_c)
    if new_c is not None:
        return finder.lstm(new, ex.whole(new_c, "the cell state"))
    try:
        return finder.gru(new)
    except NotACell as gru:
        try:
            return finder.rnn(new)
        except NotACell as rnn:
            raise NotACell(f"no GRU: {gru}; no RNN: {rnn}") from None


@dataclass(eq=False)
class _Gate:
    """What a gate's activation is taken of, as arrays in float64 or as the file has them."""

    xs: dict[str, np.ndarray]               # [I of the sequence, H] each
    R: np.ndarray                           # [size of h, H]
    P: np.ndarray                           # [H]
    b: np.ndarray                           # [H]


class _Finder:
    def __init__(self, body: Body, h: str, c: str, dtype: str) -> None:
        self.body, self.dtype = body, dtype
        self.h, self.c = self._state(h), self._state(c) if c else None
        self.hidden = 0

    def _state(self, name: str) -> Atom:
        block = ex.whole(self.body.expression(name), f"state {name!r}")
        (atom,), = block.terms
        return atom

    def step(self, new_h: Block, new_c: Expression | None) -> Equations:
        """A recurrent node of one step in the body: the same node of all steps."""
        (atom,), = new_h.terms
        cell, which = self.body.cells[atom.value]
        if which != "h" or not new_h.is_only((Atom(atom.value, 0, cell.output),)):
            raise NotACell("its state is not that of the recurrent node in it")
        if (new_c is None) != (cell.op != "LSTM"):
            raise NotACell("it does not hand all states of the recurrent node in it from turn to turn")
        of_c = None if new_c is None else next(iter(ex.whole(new_c, "the cell state").terms), ())
        if new_c is not None and not (of_c and self.body.cells.get(of_c[0].value) == (cell, "c")
                                      and new_c[0].is_only((Atom(of_c[0].value, 0, cell.hidden),))):
            raise NotACell("its cell state is not that of the recurrent node in it")
        for name, state in ((cell.initial_h, self.h), (cell.initial_c, self.c)):
            if state is not None and not (name and ex.whole(self.body.expression(name), "a state").is_only((state,))):
                raise NotACell("the recurrent node in it does not begin with the state of the turn before")
        xs = []
        for block in self.body.expression(cell.x):
            (product, coefficient), = block.terms.items() if len(block.terms) == 1 else (((), np.zeros(())),)
            if len(product) != 1 or not is_one(coefficient) or not self._is_of_step(product[0]) \
                    or (product[0].start, product[0].stop) != (0, self._features(product[0].value)):
                raise NotACell("the recurrent node in it reads something else than the step")
            xs.append(product[0].value)
        return Equations(cell.op, tuple(xs), cell.W, cell.R, cell.B, cell.activations[0], cell.P, cell.projection,
                         cell.clip, cell.options)

    # ---- the three cells --------------------------------------------------------------------------------------------

    def lstm(self, new_h: Block, new_c: Block) -> Equations:
        c = self.c
        assert c is not None
        self.hidden = new_c.width
        kept = [product for product in new_c.terms if c in product]
        added = [product for product in new_c.terms if c not in product]
        if len(kept) != 1 or len(added) != 1 or len(kept[0]) != 2 or len(added[0]) != 2 or kept[0] == (c, c) \
                or not all(map(is_one, new_c.terms.values())):
            raise NotACell(NO_CELL_STATE)
        forget, = (atom for atom in kept[0] if atom != c)
        out, squashing, projection = self._output(new_h, new_c)
        of_gates = self._activation(forget)
        first, second = added[0]
        i, g = (first, second) if self._activation(first) == of_gates else (second, first)
        if not self._activation(i) == self._activation(out) == of_gates:
            raise NotACell("its gates have different activations")
        inner, current = self._looks_at(ex.whole(self._inner(out), "a gate"), new_c)
        gates = [self._gate(i), self._affine(inner), self._gate(forget), self._gate(g)]
        if gates[3].P.any():
            raise NotACell("its candidate looks at the cell state")
        previous = bool(gates[1].P.any())
        if previous and current.any():
            raise NotACell("its output gate looks at two cell states")
        P = np.concatenate([gates[0].P, gates[1].P + current, gates[2].P])
        return self._made("LSTM", gates, np.concatenate([gate.b for gate in gates]), None,
                          (of_gates, self._activation(g), squashing), P=self._typed(P)[None] if P.any() else None,
                          projection=projection, options={"peephole_output": "previous"} if previous else None)

    def _looks_at(self, block: Block, new_c: Block) -> tuple[Block, np.ndarray]:
        """A gate's input without what it sees of the new cell state, and by what that is multiplied."""
        seen = [block.terms.get(product) for product in new_c.terms]
        first = seen[0]
        if first is None or first.ndim > 1 or not all(c is not None and np.array_equal(c, first) for c in seen):
            return block, np.zeros(self.hidden)
        rest = {product: c for product, c in block.terms.items() if product not in new_c.terms}
        return Block(block.width, rest), np.zeros(self.hidden) + first

    def _output(self, new_h: Block, new_c: Block) -> tuple[Atom, Activation, np.ndarray | None]:
        """o, H, and the matrix that projects their product, of h' = o H(c')."""
        projection = None
        if len(new_h.terms) == 1:
            (product, coefficient), = new_h.terms.items()
            if coefficient.ndim == 2:
                projection = self._typed(coefficient.T)[None]
            elif not is_one(coefficient):
                raise NotACell("its state is not o * H(c)")
            for out, other in (product, product[::-1]) if len(product) == 2 else ():
                squash = self.body.squash(other)
                if squash is not None and ex.is_same(squash[1], (new_c,)) and squash[0] != LINEAR:
                    return out, squash[0], projection
        for out in set.intersection(*map(set, new_h.terms)) if new_h.terms else ():
            rest = Block(new_h.width, {tuple(atom for atom in product if atom != out): coefficient
                                       for product, coefficient in new_h.terms.items()})
            if rest.is_same(new_c):
                return out, LINEAR, None
        raise NotACell("its state is not o * H(c)")

    def gru(self, new_h: Block) -> Equations:
        h, self.hidden = self.h, new_h.width
        others = {atom for product in new_h.terms for atom in product if atom != h}
        for z in others:
            for n in others - {z}:
                if self._is(new_h, {(z, h): 1, (n,): 1, (z, n): -1}):
                    return self._gru(z, n, 1)
                if self._is(new_h, {(h,): 1, (z, h): -1, (z, n): 1}):
                    return self._gru(z, n, -1)
        raise NotACell("its state is not z * h + (1 - z) * n")

    def _is(self, block: Block, wanted: dict[tuple[Atom, ...], int]) -> bool:
        terms = {tuple(sorted(product)): count for product, count in wanted.items()}
        return block.terms.keys() == terms.keys() and all(
            not c.ndim and c == terms[product] for product, c in block.terms.items())

    def _gru(self, z: Atom, n: Atom, sign: int) -> Equations:
        """sign: -1 where z says what is new, which is 1 - z of ONNX: of a sigmoid, that of minus its input."""
        of_gates = self._activation(z)
        if sign < 0 and of_gates != SIGMOID:
            raise NotACell(f"its update gate says what is new, and is no sigmoid but {of_gates}")
        squash = self.body.squash(n)
        of_n, inner = squash if squash is not None else (None, ())
        if of_n is None:
            raise NotACell("its candidate has no activation")
        block = ex.whole(inner, "the candidate")
        reset = [product for product in block.terms if len(product) == 2]
        if len(reset) != 1 or reset[0] == (self.h, self.h):
            raise NotACell("its candidate does not have the reset gate once")
        coefficient, before = block.terms[reset[0]], self.h in reset[0]
        rest = self._affine(Block(block.width, {p: c for p, c in block.terms.items() if p != reset[0]}))
        if rest.R.any() or rest.P.any():
            raise NotACell("its candidate looks at the state beside the reset gate")
        gate = self._gate(z)
        if before:
            r, = (atom for atom in reset[0] if atom != self.h)
            R, bias = self._matrix(coefficient, 0, self.h.stop, self.h.stop), np.zeros(self.hidden)
        else:
            r, R, bias = self._after(reset[0], coefficient)
        if self._activation(r) != of_gates:
            raise NotACell("its gates have different activations")
        rest.R = R
        for array in (*gate.xs.values(), gate.R, gate.b) if sign < 0 else ():
            np.negative(array, out=array)
        gates = [gate, self._gate(r), rest]
        return self._made("GRU", gates, np.concatenate([gate.b for gate in gates]),
                          np.concatenate([np.zeros(2 * self.hidden), bias]), (of_gates, of_n),
                          options={"linear_before_reset": not before})

    def _after(self, reset: Product, coefficient: np.ndarray) -> tuple[Atom, np.ndarray, np.ndarray]:
        """r, R' and Rb of r * (h R' + Rb)."""
        if is_one(coefficient):
            for r, recurrent in (reset, reset[::-1]):
                squash = self.body.squash(recurrent)
                if squash is None or squash[0] != LINEAR:
                    continue
                inner = self._affine(ex.whole(squash[1], "the candidate"))
                if not inner.xs and not inner.P.any():
                    return r, inner.R, inner.b
        raise NotACell("its reset gate does not multiply the state, nor the state's part of the candidate")

    def rnn(self, new_h: Block) -> Equations:
        self.hidden = new_h.width
        activation, inner = LINEAR, new_h
        if len(new_h.terms) == 1:
            product, = new_h.terms
            squash = self.body.squash(product[0]) if len(product) == 1 and new_h.is_only(product) else None
            if squash is not None:
                activation, inner = squash[0], ex.whole(squash[1], "the state")
        gate = self._affine(inner)
        return self._made("RNN", [gate], gate.b, None, (activation,))

    # ---- gates ------------------------------------------------------------------------------------------------------

    def _activation(self, atom: Atom) -> Activation:
        squash = self.body.squash(atom)
        if squash is None:
            raise NotACell("a gate has no activation")
        return squash[0]

    def _inner(self, atom: Atom) -> Expression:
        squash = self.body.squash(atom)
        if squash is None:
            raise NotACell("a gate has no activation")
        return squash[1]

    def _gate(self, atom: Atom) -> _Gate:
        return self._affine(ex.whole(self._inner(atom), "a gate"))

    def _affine(self, block: Block) -> _Gate:
        """x W' + h R' + P * c + b, and nothing else."""
        if block.width != self.hidden:
            raise NotACell(f"gates of {block.width} and {self.hidden} features meet")
        gate = _Gate({}, self._zeros(self.h.stop), np.zeros(self.hidden), np.zeros(self.hidden))
        for product, coefficient in block.terms.items():
            if not product:
                gate.b += coefficient
                continue
            atom = product[0]
            if len(product) > 1:
                raise NotACell("a gate is taken of a product")
            if atom.value == self.h.value:
                gate.R += self._matrix(coefficient, atom.start, atom.stop, self.h.stop)
            elif self.c is not None and atom == self.c and coefficient.ndim < 2:
                gate.P += coefficient
            elif self._is_of_step(atom):
                size = self._features(atom.value)
                into = gate.xs.setdefault(atom.value, self._zeros(size))
                into += self._matrix(coefficient, atom.start, atom.stop, size)
            else:
                raise NotACell("a gate is taken of something else than the step and the state")
        return gate

    def _is_of_step(self, atom: Atom) -> bool:
        """Whether an atom comes with the step, or is made of it alone."""
        if atom.value not in self.body.sequences and atom.value in self.body.maker:
            try:
                self.body.sequences[atom.value] = sequence_of(self.body, atom.value)
            except NotACell:
                return False
        return atom.value in self.body.sequences and not atom.of_row

    def _features(self, sequence: str) -> int:
        return ex.width_of(self.body.expression(sequence))

    def _zeros(self, rows: int) -> np.ndarray:
        """A matrix [rows, H], of which there is none in the file where a step or a state is but scaled, or a part of it
        read."""
        self.body.room(rows * self.hidden * 8)
        return np.zeros((rows, self.hidden))

    def _matrix(self, coefficient: np.ndarray, start: int, stop: int, size: int) -> np.ndarray:
        """A coefficient of elements start to stop of `size`, as a matrix [size, H]."""
        made = self._zeros(size)
        if coefficient.ndim == 2:
            made[start:stop] = coefficient
        else:
            np.fill_diagonal(made[start:stop], np.broadcast_to(coefficient, self.hidden))
        return made

    def _typed(self, array: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            typed = np.ascontiguousarray(array, self.dtype)
        if array.dtype != typed.dtype and not np.array_equal(np.isinf(typed), np.isinf(array)):
            raise NotACell(f"constants of it add up to more than the largest {self.dtype}")
        return typed

    def _made(self, op: str, gates: Sequence[_Gate], Wb: np.ndarray, Rb: np.ndarray | None,
              activations: tuple[Activation, ...], P: np.ndarray | None = None, projection: np.ndarray | None = None,
              options: Mapping[str, bool | str] | None = None) -> Equations:
        xs = tuple(dict.fromkeys(name for gate in gates for name in gate.xs))
        if not xs:
            raise NotACell("it reads no sequence")
        kinds = {self.body.facts.value(self.body.sequences[name].name).dtype for name in xs}
        if kinds != {self.dtype}:
            raise NotACell(f"its sequences are {' and '.join(sorted(kinds))}, its state {self.dtype}")
        rows = self.h.stop + sum(map(self._features, xs))
        self.body.spend(rows * len(gates) * self.hidden * 2 * 8)        # what is made of W and R below, in float64
        zeros = {name: self._zeros(self._features(name)) for name in xs}
        W = np.concatenate([np.concatenate([gate.xs.get(name, zeros[name]) for name in xs]).T for gate in gates])
        R = np.concatenate([gate.R.T for gate in gates])
        B = np.concatenate([Wb, np.zeros_like(Wb) if Rb is None else Rb])
        if projection is None and self.h.stop != self.hidden:
            raise NotACell(f"its state has {self.h.stop} features, its gates {self.hidden}")
        return Equations(op, xs, self.body.keep(self._typed(W)[None]),
                         self.body.keep(self._typed(R)[None]), self._typed(B)[None], activations, P,
                         projection, options=options or {})
