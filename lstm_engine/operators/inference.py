"""Shape inference: the symbolic shape and dtype of every value of a graph."""

from __future__ import annotations

from dataclasses import replace

from ..errors import GraphError, UnsupportedError
from ..graph.names import Names
from ..graph.nodes import Graph, Loop, Node, Operator, Value
from ..graph.shapes import Symbols, layer_shapes
from ..graph.weights import check_node, fail
from .guards import Guard, chooses, guards

MOST_WORK = 1 << 20         # branches times nodes: what is learnt of sizes outside is told to each branch


def infer_shapes(graph: Graph) -> dict[str, Value]:
    """The shape and dtype of every named value, by name, inputs of the graph included.

    Symbols that must be equal are given one name, and symbols that a weight fixes become
    numbers. Raises GraphError for a value that is missing or made later, or a rank, size or dtype that does
    not fit; UnsupportedError for an operator or activation that is not known.
    """
    return _infer(graph)[1]


def _infer(graph: Graph) -> tuple[_Scopes, dict[str, Value]]:
    symbols = Symbols(dim for value in graph.inputs for dim in value.shape if isinstance(dim, str))
    scopes = _Scopes(symbols, MOST_WORK // max(len(graph.nodes), 1))
    values = {value.name: value for value in graph.inputs}
    within: dict[str, Guard] = {}                       # of what is made in a branch
    for node, guard in zip(graph.nodes, guards(graph)):
        check_node(node)
        inputs = [_look_up(node, name, values) if name else None for name in node.inputs]
        if isinstance(node, Operator):
            made = _operator(node, inputs, scopes, guard)
        elif isinstance(node, Loop):
            made = _loop(node, [value and scopes.of(guard).value(value) for value in inputs])
        else:
            made = layer_shapes(node, inputs, scopes.of(guard))
        for name, value in zip(node.outputs, made, strict=False):
            if name:
                values[name] = value if value.name == name else Value(name, value.shape, value.dtype)
                if guard:
                    within[name] = guard
    scopes.agree()
    return scopes, {name: scopes.of(within.get(name, ())).value(value) for name, value in values.items()}


def with_entries(graph: Graph) -> Graph:
    """The graph, and those of its loops, an Identity before each value that a branch takes from outside where the
    branch knows more of its sizes: the nodes behind it see what holds in the branch."""
    bodies = {id(node): body for node in graph.nodes if isinstance(node, Loop)
              and (body := with_entries(node.body)) is not node.body}
    if bodies:
        graph = replace(graph, nodes=tuple(replace(node, body=bodies[id(node)]) if isinstance(node, Loop)
                                           and id(node) in bodies else node for node in graph.nodes))
    if not any(own := guards(graph)):
        return graph
    scopes, outside = _infer(graph)
    names, nodes = Names([*outside, *(node.name for node in graph.nodes)]), list[Node]()
    entered: dict[tuple[Guard, str], str] = {}
    for node, guard in zip(graph.nodes, own):
        inputs = list(node.inputs)
        for position, name in enumerate(inputs):
            if guard and name and scopes.of(guard).shape(outside[name].shape) != outside[name].shape:
                if (guard, name) not in entered:
                    entered[guard, name] = made = names.unused(f"{name}/in")
                    nodes.append(Operator(name=made, inputs=(name,), outputs=(made,), op_type="Identity"))
                inputs[position] = entered[guard, name]
        nodes.append(replace(node, inputs=tuple(inputs)) if entered else node)
    return replace(graph, nodes=tuple(nodes)) if entered else graph


class _Scopes:
    """What is known of symbols, by guard: what a branch needs of sizes holds in that branch alone."""

    def __init__(self, symbols: Symbols, most: int) -> None:
        self._most = most
        self._scopes: dict[Guard, Symbols] = {(): symbols}
        self._met: dict[Guard, dict[tuple[int, ...], list[Symbols]]] = {}

    def of(self, guard: Guard) -> Symbols:
        if guard not in self._scopes:
            if len(self._scopes) > self._most:
                raise UnsupportedError(f"the model has more than {self._most} branches, too many for its nodes")
            self._scopes[guard] = self.of(guard[:-1]).inner()
        return self._scopes[guard]

    def meet(self, guard: Guard, sides: list[Symbols]) -> None:
        """Note that in every run of what has this guard one of these scopes is taken."""
        self._met.setdefault(guard, {})[tuple(map(id, sides))] = sides

    def agree(self) -> None:
        """Let what all branches of an If need hold around it, the innermost first."""
        for guard in sorted(self._met, key=len, reverse=True):
            for sides in self._met[guard].values():
                self.of(guard).agree(sides)


def _look_up(node: Node, name: str, values: dict[str, Value]) -> Value:
    if name not in values:
        raise GraphError(f"node {node.name!r} ({node.op}): input {name!r} is made neither by an earlier node "
                         "nor given to the graph")
    return values[name]


def _loop(node: Loop, inputs: list[Value | None]) -> list[Value]:
    from .looping import loop_values  # most models have none

    return loop_values(node, inputs, infer_shapes)


def _operator(node: Operator, inputs: list[Value | None], scopes: _Scopes, guard: Guard) -> list[Value]:
    from .spec import operator_shapes  # a model of layers alone runs without what operators say of themselves

    known = [scopes.of(guard)] * len(inputs)
    if chooses(node) and node.inputs[0]:
        sides = {position: scopes.of((*guard, (node.inputs[0], position == 1))) for position in range(1, len(inputs))}
        known[1:] = sides.values()
        scopes.meet(guard, [sides[position] for position in sides if inputs[position] or position in node.constants])
    resolved = [value and symbols.value(value) for value, symbols in zip(inputs, known)]
    made = operator_shapes(node, resolved)
    if len(made) < len(node.outputs):
        fail(node, "outputs", f"at most the {len(made)} that {node.op_type} has", f"{len(node.outputs)} names")
    return made
