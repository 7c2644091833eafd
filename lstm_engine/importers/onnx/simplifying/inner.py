"""Graphs inside nodes, taken in among the nodes around them: the branches of If, the turns of Loop and Scan.

Both branches of an If on what only the run knows are taken in, with a node that chooses (`operators.choosing`). Loop
and Scan around recurrent cells become the layers that they are, for any number of steps (`looped`, `fission`). Others
are written out turn by turn where it is known beforehand that there are few; cells that the turns repeat are found
like those that were written out by hand (`mapping/unrolled.py`). What is left is run as a loop (`turned`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ....errors import FormatError, LstmEngineError, UnsupportedError
from ..model import OnnxGraph, OnnxNode
from .expressions import NotACell
from .fission import cut
from .looped import Turning
from .relooped import as_cell
from .scopes import Scope, Walk
from .turned import as_loop

# The nodes, and the attributes that each may have.
TAKEN_IN = {
    "If": {"then_branch", "else_branch"}, "Loop": {"body"},
    "Scan": {"body", "num_scan_inputs", "scan_input_axes", "scan_input_directions", "scan_output_axes",
             "scan_output_directions"}}
MOST_WRITTEN_OUT = 2000     # nodes that the turns of a loop are written out to



def take_in(walk: Walk, node: OnnxNode, scope: Scope, depth: int) -> None:
    """Give the outputs of an If, Loop or Scan their meaning. Raises FormatError, UnsupportedError."""
    if unknown := sorted(node.attributes.keys() - TAKEN_IN[node.op]):
        raise UnsupportedError(f"{node.label}: attribute {unknown[0]!r} is not supported; "
                               f"supported: {', '.join(sorted(TAKEN_IN[node.op]))}")
    {"If": _if, "Loop": _loop, "Scan": _scan}[node.op](walk, node, scope, depth)


# ---- If -------------------------------------------------------------------------------------------------------------

def _if(walk: Walk, node: OnnxNode, scope: Scope, depth: int) -> None:
    condition = walk.constant(scope.find(node.inputs[0]) or "") if node.inputs else None
    branches = [node.attributes.get(name) for name in ("then_branch", "else_branch")]
    if len(node.inputs) != 1 or not all(isinstance(branch, OnnxGraph) for branch in branches):
        raise FormatError(f"{node.label}: needs a condition, a then_branch and an else_branch")
    if condition is None:
        made = [_branch(walk, node, branch, scope, depth) for branch in branches]    # type: ignore[arg-type]
        walk.bind(node, [_chosen(walk, node, scope, *names) for names in zip(node.outputs, *made)], scope)
        return
    branch: OnnxGraph = branches[0] if _truth(node, condition) else branches[1]      # type: ignore[assignment]
    walk.bind(node, _branch(walk, node, branch, scope, depth), scope)


def _truth(node: OnnxNode, condition: np.ndarray) -> bool:
    if condition.size != 1:
        raise FormatError(f"{node.label}: its condition has {condition.size} elements")
    return bool(condition.item())


def _branch(walk: Walk, node: OnnxNode, branch: OnnxGraph, scope: Scope, depth: int) -> list[str]:
    """Take in the nodes of a branch; the values that it makes."""
    if len(branch.outputs) < len(node.outputs):
        raise FormatError(f"{node.label}: its branch makes {len(branch.outputs)} of {len(node.outputs)} outputs")
    if branch.inputs:
        raise FormatError(f"{node.label}: a branch takes no inputs, but one has {branch.inputs[0].name!r}")
    inner = Scope(scope)
    walk.own(branch, inner)
    walk.nodes(branch.nodes, branch.outputs, inner, depth)
    return [inner.find(name) for name in branch.outputs]       # type: ignore[misc]


def _chosen(walk: Walk, node: OnnxNode, scope: Scope, output: str, then: str, otherwise: str) -> str:
    """A node that gives one output of If, of the values that its branches make; see `operators.choosing`."""
    if not output or then == otherwise:
        return then
    made = output if scope.outermost else walk.new_name(output)
    if walk.rank(then) != walk.rank(otherwise):
        then, otherwise = _of_one_rank(walk, node, then, otherwise)
    walk.operator(replace(node, inputs=(scope.find(node.inputs[0]) or "", then, otherwise), outputs=(made,),
                          attributes={}))
    return walk.same_as(made)


def _of_one_rank(walk: Walk, node: OnnxNode, then: str, otherwise: str) -> tuple[str, str]:
    """Both values, without the one that has more axes. PyTorch writes x.squeeze(1) as an If whose one branch drops the
    axis, and whose other hands x on as it is, for sizes that nobody had in mind."""
    fewer = min((then, otherwise), key=walk.rank)
    walk.note("of_one_rank", f"{node.label}: {walk.rank(fewer)} axes")
    return (then, "") if fewer == then else ("", otherwise)


# ---- Loop and Scan --------------------------------------------------------------------------------------------------

@dataclass
class _Turns:
    """A Loop or Scan being written out: the values that go from turn to turn, and what each turn gives beside them."""

    walk: Walk
    node: OnnxNode
    body: OnnxGraph
    scope: Scope
    depth: int
    states: list[str]
    given: list[list[str]]                  # by scan output, a value for each turn

    def turn(self, inputs: Sequence[str], first: int) -> str:
        """One turn on these values. first: outputs of the body before its states: none, or 1 for a condition, which is
        given back."""
        self.walk.count_nodes(1, self.depth)
        inner = Scope(self.scope)
        inner.names.update(zip((value.name for value in self.body.inputs), inputs))
        self.walk.nodes(self.body.nodes, self.body.outputs, inner, self.depth)
        made: list[str] = [inner.find(name) for name in self.body.outputs]       # type: ignore[misc]
        self.states = made[first:first + len(self.states)]
        for values, value in zip(self.given, made[first + len(self.states):]):
            values.append(value)
        return made[0] if first else ""

    def finish(self, scope: Scope, ways: Sequence[tuple[int, bool]]) -> None:
        """Bind the node's outputs. ways: of each scan output the axis of turns, and whether the last comes first."""
        stacked = [self._stacked(values[::-1] if turned else values, axis) for values, (axis, turned)
                   in zip(self.given, ways)]
        self.walk.bind(self.node, [*self.states, *stacked], scope)

    def _stacked(self, values: Sequence[str], axis: int) -> str:
        rank = self.walk.rank(values[0]) + 1
        if not -rank <= axis < rank:
            raise FormatError(f"{self.node.label}: scan output axis {axis} is outside the {rank} axes of its output")
        at = self.walk.add_constant(f"{self.node.name}/axis", np.array([axis % rank]))
        parts = [self._made("Unsqueeze", (value, at)) for value in values]
        return self._made("Concat", tuple(parts), axis=axis % rank)

    def _made(self, op: str, inputs: tuple[str, ...], **attributes: Any) -> str:
        name = self.walk.new_name(f"{self.node.name}/{op}")
        self.walk.operator(OnnxNode(name, op, inputs, (name,), attributes, opset=self.node.opset))
        return self.walk.same_as(name)

    def element(self, value: str, place: int, axis: int) -> str:
        """What stands at one place of an axis."""
        at = self.walk.add_constant(f"{self.node.name}/place", np.array(place))
        return self._made("Gather", (value, at), axis=axis)


def _turns(walk: Walk, node: OnnxNode, scope: Scope, depth: int, states: Sequence[str], inputs: int, first: int
           ) -> _Turns:
    """What `node` is written out with. inputs: of its body; first: outputs of the body before the states."""
    body = node.attributes.get("body")
    if not isinstance(body, OnnxGraph):
        raise FormatError(f"{node.label}: needs a body")
    more = len(body.outputs) - first - len(states)
    if len(body.inputs) != inputs or more < 0 or len(node.outputs) > len(states) + more:
        raise FormatError(f"{node.label}: a body that takes {len(body.inputs)} values and makes {len(body.outputs)} "
                          f"does not fit its {len(node.inputs)} inputs and {len(node.outputs)} outputs")
    if not all(states):
        raise FormatError(f"{node.label}: a value that goes from turn to turn is left out")
    own = Scope(scope)
    walk.own(body, own)                     # once, whatever the number of turns
    return _Turns(walk, node, body, own, depth, list(states), [[] for _ in range(more)])


def _loop(walk: Walk, node: OnnxNode, scope: Scope, depth: int) -> None:
    turns, turning = _of_loop(walk, node, scope, depth)
    why = _as_cells(turns, scope, turning)
    if not why:
        return
    before = walk.count_steps()
    if not _written_out(turns, turning, scope):
        walk.forget_steps(before)
        _as_loop(turns, turning, scope, why)


def _as_loop(turns: _Turns, turning: Turning, scope: Scope, why: str) -> None:
    walk = turns.walk
    walk.note("turned", f"{turning.node.label}: {why}")
    walk.bind(turning.node, as_loop(walk, turning, turns.scope, turns.depth), scope)


def _written_out(turns: _Turns, turning: Turning, scope: Scope) -> bool:
    """Write out the turns of a Loop; False where the run alone tells how many there are, or there are too many."""
    walk, node = turns.walk, turns.node
    limit, first = (walk.constant(name) if name else None for name in (turning.limit, turning.goes_on))
    if turning.limit and limit is None or turning.goes_on and first is None:
        return False
    count = None if limit is None else _whole(node, limit)
    goes_on = first is None or _truth(node, first)
    true, number, most = walk.add_constant(f"{node.name}/true", np.array(True)), 0, _most_turns(turns)
    while goes_on and (count is None or number < count):
        at = walk.add_constant(f"{node.name}/turn", np.array(number))
        condition = walk.constant(turns.turn([at, true, *turns.states], 1))
        number += 1
        if condition is None or number > most:
            return False
        goes_on = _truth(node, condition)
    if not number and turns.given:
        return False                        # the shapes of what its turns would give: a loop says them
    turns.finish(scope, [(0, False)] * len(turns.given))
    return True


def _most_turns(turns: _Turns) -> int:
    return max(1, MOST_WRITTEN_OUT // max(len(turns.body.nodes), 1))


def _used(node: OnnxNode, scope: Scope) -> frozenset[int]:
    return frozenset(i for i, name in enumerate(node.outputs) if name and scope.reads(name))


def _of_loop(walk: Walk, node: OnnxNode, scope: Scope, depth: int) -> tuple[_Turns, Turning]:
    named = [scope.find(name) or "" for name in node.inputs]
    if len(named) < 2:
        raise FormatError(f"{node.label}: needs a number of turns and a condition, which may be empty")
    states = named[2:]
    turns = _turns(walk, node, scope, depth, states, 2 + len(states), 1)
    return turns, Turning(node, turns.body, states, True, named[0], named[1], _used(node, scope))


def _as_cells(turns: _Turns, scope: Scope, turning: Turning) -> str:
    """Take a loop in as the recurrent nodes that it is. "" where that was done, else why it is none."""
    walk = turns.walk
    before = walk.count_steps()
    try:
        made = _cells(turns, scope, turning)
    except (NotACell, LstmEngineError) as reason:
        walk.forget_steps(before)
        return str(reason)
    walk.bind(turning.node, made, scope)
    return ""


def _cells(turns: _Turns, scope: Scope, turning: Turning) -> list[str]:
    """The values that a loop makes, of the recurrent node that it is, or of those that it is one after the other.

    Raises NotACell where it is none, and what reading its body raises.
    """
    walk, node = turns.walk, turning.node
    before = walk.count_steps()
    try:
        return as_cell(walk, turning, turns.scope, turns.depth)
    except NotACell:
        parts = cut(node)
        if parts is None:
            raise
    walk.forget_steps(before)
    inner = Scope(scope)
    inner.graph = parts, [name for i, name in enumerate(node.outputs) if i in turning.used]
    for part in parts:
        prepared = (_of_loop if turning.is_loop else _of_scan)(walk, part, inner, turns.depth)
        walk.bind(part, _cells(prepared[0], inner, prepared[1]), inner)
    return [inner.names.get(name, "") for name in node.outputs]


def _whole(node: OnnxNode, count: np.ndarray) -> int:
    if count.size != 1 or count.dtype.kind not in "iu":
        raise FormatError(f"{node.label}: its number of turns must be one whole number, got {count.dtype} "
                          f"{list(count.shape)}")
    return int(count.item())


def _scan(walk: Walk, node: OnnxNode, scope: Scope, depth: int) -> None:
    turns, turning = _of_scan(walk, node, scope, depth)
    why = _as_cells(turns, scope, turning)
    if not why:
        return
    steps = {walk.value(name).shape[axis] for name, axis, _ in turning.scanned}
    known = {size for size in steps if isinstance(size, int)}
    if len(known) > 1:
        raise FormatError(f"{node.label}: its sequences have {' and '.join(map(str, sorted(known)))} steps")
    length = known.pop() if known and len(steps) == 1 else 0
    if not 0 < length <= _most_turns(turns):
        _as_loop(turns, turning, scope, why)
        return
    for number in range(length):
        turns.turn([*turns.states, *(turns.element(name, length - 1 - number if turned else number, axis)
                                     for name, axis, turned in turning.scanned)], 0)
    turns.finish(scope, turning.ways)


def _of_scan(walk: Walk, node: OnnxNode, scope: Scope, depth: int) -> tuple[_Turns, Turning]:
    if node.opset < 9:
        raise UnsupportedError(f"{node.label}: Scan of opset {node.opset} has a batch of its own; opset 9 and later "
                               "are supported")
    count = node.attributes.get("num_scan_inputs")
    if type(count) is not int or not 1 <= count <= len(node.inputs):
        raise FormatError(f"{node.label}: num_scan_inputs must be from 1 to its {len(node.inputs)} inputs, "
                          f"got {count!r:.60}")
    named = [scope.find(name) or "" for name in node.inputs]
    states, scanned = named[:-count], named[-count:]
    turns = _turns(walk, node, scope, depth, states, len(named), 0)
    if not all(scanned):
        raise FormatError(f"{node.label}: a sequence is left out")
    into = list(zip(_numbers(node, "scan_input_axes", count), _directions(node, "scan_input_directions", count)))
    out = list(zip(_numbers(node, "scan_output_axes", len(turns.given)),
                   _directions(node, "scan_output_directions", len(turns.given))))
    axes = [_axis(walk, node, name, axis) for name, (axis, _) in zip(scanned, into)]
    return turns, Turning(
        node, turns.body, states, False, used=_used(node, scope), ways=out,
        scanned=[(name, axis, turned) for name, axis, (_, turned) in zip(scanned, axes, into)])


def _axis(walk: Walk, node: OnnxNode, name: str, axis: int) -> int:
    rank = walk.rank(name)
    if not -rank <= axis < rank:
        raise FormatError(f"{node.label}: scan input axis {axis} is outside the {rank} axes of {name!r}")
    return axis % rank


def _numbers(node: OnnxNode, attribute: str, count: int) -> tuple[int, ...]:
    """An attribute of a whole number for each sequence, zeros where it is left out."""
    given = node.attributes.get(attribute, (0,) * count)
    if not isinstance(given, tuple) or len(given) != count or not all(type(number) is int for number in given):
        raise FormatError(f"{node.label}: {attribute} must be {count} whole numbers, got {given!r:.60}")
    return given


def _directions(node: OnnxNode, attribute: str, count: int) -> list[bool]:
    """Whether each sequence is gone through from its end."""
    given = _numbers(node, attribute, count)
    if not set(given) <= {0, 1}:
        raise FormatError(f"{node.label}: {attribute} must be 0 or 1 each, got {given}")
    return [number == 1 for number in given]
