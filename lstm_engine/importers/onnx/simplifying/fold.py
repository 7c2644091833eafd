"""Walks a model once, in order: folds what is constant, takes in inner graphs, expands functions, infers shapes.

What comes out has no constants among its values, no identities, no inner graphs, no functions: `Operator` nodes of the
table, recurrent cells read, and the symbolic shape of every value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ....errors import ArgumentError, FormatError, UnsupportedError
from ....graph.names import Names
from ....graph.nodes import BFLOAT16, Dim, Operator, Shape, Value, dtype_name
from ....operators import OPERATORS, operator_attributes, operator_shapes, run_operator, supported_operators
from ....operators.older import FORMS, modern
from ..model import OnnxGraph, OnnxModel, OnnxNode, Reference, Unknown
from . import lists, numbers, shortcuts
from .budget import Budget
from .dequantised import WholeNumbers, whole_numbers
from .functions import body_of
from .inner import TAKEN_IN, take_in
from .narrow import is_same, narrowed, widened
from .order import needed_nodes
from .recurrent import GATES, Cell, read_cell, results_of
from .refine import with_known_inputs, with_known_sizes
from .scopes import Scope
from .steps import Step

MOST_NODES = 20_000          # after functions are expanded and loops written out
MOST_CALLS = 32              # functions that call functions
MOST_MAKERS = 64             # operators on the way to how many turns a loop has
FREE_BYTES = 128 << 20       # what folding may make, beyond the size of the model's own tensors
FREE_WORK = 1_000_000_000    # nanoseconds that folding may take, as operators tell them


@dataclass(eq=False)
class Folded:
    """A model after the walk. `steps` are in order; `outputs` maps an output's name to the value that it is."""

    inputs: list[Value]
    steps: list[Step] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    whole: dict[str, WholeNumbers] = field(default_factory=dict)        # what constants were that are floats now
    zeros: set[str] = field(default_factory=set)        # values that are 0 everywhere, whatever their size
    outputs: dict[str, str] = field(default_factory=dict)
    notes: dict[str, dict[str, None]] = field(default_factory=dict)     # what the model's user must know; see `notes`
    most_steps: int | None = None                       # that loops of the model count rightly, where that is not any
    half_outputs: frozenset[str] = frozenset()          # outputs to be float16, after the pass of `half`
    opset: int = 0
    producer: str = ""

    def is_half(self, name: str) -> bool:
        """Whether a value or constant is float16."""
        known = self.constants.get(name, self.values.get(name))
        return known is not None and known.dtype == "float16"


def fold(model: OnnxModel, fixed: dict[str, np.ndarray]) -> Folded:
    """The folded form of a model whose inputs named in `fixed` are constants.

    Raises FormatError for a graph that is not well formed, UnsupportedError for what cannot be run, each
    naming the node.
    """
    inputs = [value for value in model.graph.inputs if value.name not in fixed]
    return _Walk(model, inputs, fixed).run()


class _Walk:
    def __init__(self, model: OnnxModel, inputs: list[Value], fixed: dict[str, np.ndarray]) -> None:
        self.model, self.fixed = model, fixed
        self.out = Folded(inputs, opset=model.opset, producer=model.producer)
        self.elements: dict[str, np.ndarray] = {}       # of small integer tensors; see `numbers`
        self.aliases: dict[str, str] = {}               # values that are others, unchanged
        self.made_by: dict[str, tuple[int, Operator]] = {}      # by result: its place in order, and it
        self.lists: dict[str, lists.TensorList] = {}
        graph = model.graph
        self.names = Names([*graph.tensors, *(value.name for value in graph.inputs),
                            *(name for node in graph.nodes for name in node.outputs)])
        self.symbols = Names(dim for value in graph.inputs for dim in value.shape if isinstance(dim, str))
        self.count = 0
        self.bytes_left = FREE_BYTES
        self.work_left = FREE_WORK
        self.budget = Budget()

    def run(self) -> Folded:
        graph, scope = self.model.graph, Scope(outermost=True)
        self.own(graph, scope)
        for value in graph.inputs:
            if value.name in scope.names or not value.name:
                raise FormatError(f"input {value.name!r} has no name, or another's")
            if value.name not in self.fixed:
                self.out.values[value.name] = value
            else:
                self.out.constants[value.name] = self.fixed[value.name]
            scope.names[value.name] = value.name
        self.nodes(graph.nodes, graph.outputs, scope, 0)
        for name in graph.outputs:                         # one named twice is one output, as it has one name
            made = self.out.outputs[name] = scope.find(name)       # type: ignore[assignment]
            if made in self.lists:
                raise UnsupportedError(f"output {name!r} is a sequence of tensors; only tensors are supported")
            if made in self.out.constants and self.dtype(made) == "bfloat16":
                raise UnsupportedError(f"output {name!r} is bfloat16, which NumPy lacks; cast it to float32 in the "
                                       "model")
        return self.out

    # What `opsets.Facts` asks for.

    def constant(self, name: str) -> np.ndarray | None:
        array = self.out.constants.get(name)
        return array if array is None or array.dtype != BFLOAT16 else widened(array)

    def rank(self, name: str) -> int:
        return len(self.shape(name))

    def shape(self, name: str) -> Shape:
        return self.value(name).shape

    def open_sizes(self) -> frozenset[str]:
        return frozenset(dim for value in self.model.graph.inputs for dim in value.shape if isinstance(dim, str))

    def dtype(self, name: str) -> str:
        return self.value(name).dtype

    def add_constant(self, hint: str, array: np.ndarray) -> str:
        name = self.new_name(hint)
        self.out.constants[name] = array
        return name

    def new_name(self, hint: str) -> str:
        return self.names.unused(hint)

    def value(self, name: str) -> Value:
        """The value, made from the array for a constant."""
        if name in self.out.constants:
            array = self.out.constants[name]
            return Value(name, array.shape, dtype_name(array.dtype))
        if name in self.lists:
            raise UnsupportedError(f"{name!r} is a sequence of tensors, which is read by more than "
                                   f"{', '.join(lists.RULES)}")
        return self.out.values[name]

    def add_list(self, hint: str, made: lists.TensorList) -> str:
        name = self.new_name(hint)
        self.lists[name] = made
        return name

    def list_of(self, name: str) -> lists.TensorList | None:
        return self.lists.get(name)

    def add_value(self, hint: str, shape: Sequence[Dim | None], dtype: str) -> str:
        """A value that no operator makes: what a turn of a loop is given, or leaves. None: a size of its own."""
        name = self.new_name(hint)
        own = (self.symbols.unused(f"{name}_{i}") if dim is None else dim for i, dim in enumerate(shape))
        self.out.values[name] = Value(name, tuple(own), dtype)
        return name

    def is_zero(self, name: str) -> bool:
        """Whether a value is 0 everywhere."""
        array = self.constant(name)
        return name in self.out.zeros if array is None else not array.any()

    def makers_of(self, names: Sequence[str]) -> list[Operator]:
        """The operators that lead to values, of not too many the last, in order."""
        found, pending = dict[int, Operator](), list(names)
        while pending and len(found) < MOST_MAKERS:
            place, step = self.made_by.get(pending.pop(), (-1, None))
            if step is not None and place not in found:
                found[place] = step
                pending += step.inputs
        return [found[place] for place in sorted(found)]

    def same_as(self, name: str) -> str:
        """The value that `name` is, where that is another unchanged."""
        return self.aliases.get(name, name)

    def note(self, key: str, what: str) -> None:
        self.out.notes.setdefault(key, {})[what] = None

    def note_most_steps(self, count: int) -> None:
        self.out.most_steps = min(self.out.most_steps or count, count)

    # The walk.

    def own(self, graph: OnnxGraph, scope: Scope) -> None:
        """Take in the tensors of a graph."""
        for name, array in graph.tensors.items():
            around = scope.find(name)
            # Runtimes differ in which of two initializers of one name an inner graph reads.
            if around is not None and not is_same(self.constant(around), array):
                raise FormatError(f"tensor {name!r} of an inner graph has the name of another value outside it")
            scope.names[name] = name if scope.outermost else self.new_name(name)
            self.out.constants[scope.names[name]] = array
            self.bytes_left += array.nbytes
            self.budget.owns(array.nbytes)

    def nodes(self, nodes: Sequence[OnnxNode], outputs: Sequence[str], scope: Scope, depth: int) -> None:
        self.count_nodes(len(nodes), depth)
        scope.graph = nodes, outputs
        for node in needed_nodes(nodes, outputs, lambda name: scope.find(name) is not None):
            self._node(node, scope, depth)

    def inside(self, nodes: Sequence[OnnxNode], outputs: Sequence[str], scope: Scope, depth: int
               ) -> list[Step]:
        """The steps of the graph inside a node, which stay outside the model's."""
        around, self.out.steps = self.out.steps, []
        try:
            self.nodes(nodes, outputs, scope, depth)
            return self.out.steps
        finally:
            self.out.steps = around

    def count_steps(self) -> int:
        return len(self.out.steps)

    def forget_steps(self, count: int) -> None:
        """Take back the steps after so many, which nothing reads."""
        del self.out.steps[count:]

    def count_nodes(self, count: int, depth: int) -> None:
        """Raise UnsupportedError where so many more are too many, or stand too deep."""
        self.count += count
        if self.count > MOST_NODES or depth > MOST_CALLS:
            raise UnsupportedError(f"the model has more than {MOST_NODES} nodes, loops written out"
                                   if depth <= MOST_CALLS else f"functions call each other more than {MOST_CALLS} deep")

    def _node(self, node: OnnxNode, scope: Scope, depth: int) -> None:
        for name, value in node.attributes.items():
            if isinstance(value, (Unknown, Reference)):
                raise UnsupportedError(f"{node.label}: attribute {name!r} of kind "
                                       f"{value.kind if isinstance(value, Unknown) else 'reference'} is not supported")
        function = self.model.functions.get((node.domain, node.op, node.overload))
        if function is not None:
            if not node.overload and _has_meaning(node):
                raise UnsupportedError(f"{node.label}: the model has a function of the same name; which of the two is "
                                       "meant is left to who runs it; give the function a domain of its own")
            inner = Scope()
            given = node.inputs + ("",) * (len(function.inputs) - len(node.inputs))
            if len(node.inputs) > len(function.inputs) or len(node.outputs) > len(function.outputs):
                raise FormatError(f"{node.label}: takes at most {len(function.inputs)} inputs and "
                                  f"{len(function.outputs)} outputs")
            inner.names.update((formal, scope.find(name) if name else "")      # type: ignore[misc]
                               for formal, name in zip(function.inputs, given))
            self.nodes(body_of(function, node), function.outputs, inner, depth + 1)
            self.bind(node, [inner.find(name) for name in function.outputs], scope)    # type: ignore[misc]
        elif node.overload:
            raise FormatError(f"{node.label}: the model has no function of this name with the overload "
                              f"{node.overload!r:.100}")
        elif node.op in TAKEN_IN and not node.domain:
            take_in(self, node, scope, depth)
        elif node.op in lists.RULES and not node.domain:
            lists.follow(self, node, scope)
        else:
            self._plain(node, scope)

    def bind(self, node: OnnxNode, made: Sequence[str], scope: Scope) -> None:
        scope.names.update((name, value) for name, value in zip(node.outputs, made) if name)

    def _plain(self, node: OnnxNode, scope: Scope) -> None:
        """Give the node's names their meaning, bring it to today's form, and take its parts one by one."""
        given = node
        named = tuple(scope.find(name) or "" for name in node.inputs)
        # Names of the outermost graph are kept, for they name outputs and messages; inner ones may be anything.
        made = tuple(name if scope.outermost or not name else self.new_name(name) for name in node.outputs)
        if (named, made) != (node.inputs, node.outputs):
            node = replace(node, inputs=named, outputs=made)
        for part in modern(node, self):
            if any(name in self.aliases for name in part.inputs):
                part = replace(part, inputs=tuple(self.aliases.get(name, name) for name in part.inputs))
            if not _is_known(part):
                raise UnsupportedError(f"{part.label}: this operator is not supported; supported: LSTM, GRU, RNN, "
                                       f"{supported_operators()}")
            if part.op == "Constant":
                self._add_made(part, shortcuts.constant_of(part))
            elif part.op in GATES:
                self.cell(read_cell(part, self.out.constants.get))
            else:
                self.operator(part)
        results = [self.aliases.get(name, name) for name in made]
        for name, result in zip(given.outputs, results):
            if result and result not in self.out.values and result not in self.out.constants:
                raise FormatError(f"{given.label}: it does not make output {name!r}")
        self.bind(given, results, scope)

    def cell(self, cell: Cell) -> None:
        """Add a recurrent cell, if what it reads fits."""
        self.out.values.update((value.name, value) for value in results_of(cell, self.value))
        self.out.steps.append(cell)

    def add_step(self, step: Step) -> None:
        self.out.steps.append(step)

    def operator(self, node: OnnxNode) -> None:
        try:
            self._fold_or_keep(node)
        except ArgumentError as error:      # a constant that an operator cannot take is the file's fault
            raise FormatError(str(error)) from error

    def _fold_or_keep(self, node: OnnxNode) -> None:
        operator = self._as_operator(node)
        attributes = operator_attributes(operator)          # known, complete, and of the right types
        known = [self.elements_of(name) for name in node.inputs]
        values = [self.value(name) if name else None for name in node.inputs]
        values += [None] * (len(operator.inputs) - len(values))
        operator = with_known_inputs(operator, values, known)
        if operator.op_type != node.op:
            attributes = operator_attributes(operator)
        dynamic = [value if name else None for name, value in zip(operator.inputs, values)]
        made = [self._fresh(value, values) for value in operator_shapes(operator, dynamic, attributes)]
        made = with_known_sizes(operator, values, known, made)
        if not any(operator.inputs) and self._evaluate(operator, made):
            return
        if any(value is not None and value.dtype == "bfloat16" for value in values):
            raise UnsupportedError(f"{node.label}: it computes in bfloat16, in which constants alone may be; cast them "
                                   "to float32 in the model, or convert the model before it was made bfloat16")
        results = numbers.numbers_of(operator, known, values)
        for i, (name, value) in enumerate(zip(operator.outputs, made)):
            if not name:
                continue
            elements = None if results is None else results[i]
            array = None if elements is None else numbers.as_constant(elements, value.dtype)
            if array is not None:
                self.out.constants[name] = array
                continue
            self.out.values[name] = value
            if elements is not None and elements.size <= numbers.MOST:
                self.elements[name] = elements
        if shortcuts.is_zero(operator, self.out.zeros):
            self.out.zeros.update(operator.outputs)
        if operator.inputs[:1] != ("",) and shortcuts.changes_nothing(operator, dynamic, made[0]):
            self.aliases[operator.outputs[0]] = operator.inputs[0]
        elif any(name in self.out.values for name in operator.outputs):
            self.out.steps.append(operator)
            self.made_by.update(dict.fromkeys(operator.outputs, (len(self.made_by), operator)))

    def _as_operator(self, node: OnnxNode) -> Operator:
        inputs = list(node.inputs)
        while inputs and not inputs[-1]:
            inputs.pop()
        constants = {i: self.out.constants[name] for i, name in enumerate(inputs) if name in self.out.constants}
        for name, value in node.attributes.items():
            if isinstance(value, (np.ndarray, OnnxGraph)):
                raise UnsupportedError(f"{node.label}: attribute {name!r} is not supported")
        return Operator(name=node.name or f"{node.op} {'/'.join(filter(None, node.outputs))}",
                        inputs=tuple("" if i in constants else name for i, name in enumerate(inputs)),
                        outputs=node.outputs, op_type=node.op, attributes=node.attributes, constants=constants)

    def elements_of(self, name: str) -> np.ndarray | None:
        """What is known of the elements of a small tensor of whole numbers."""
        array = self.out.constants.get(name)
        if array is None:
            return self.elements.get(name)
        return array if array.dtype.kind in "iub" and array.size <= numbers.MOST else None

    def _evaluate(self, operator: Operator, made: Sequence[Value]) -> bool:
        """Run a node whose inputs are all constants, if that is not too much to do beforehand."""
        price = shortcuts.cost(operator, made)
        if price is None or price.bytes > self.bytes_left or price.work > self.work_left:
            return False
        self.bytes_left -= price.bytes
        self.work_left -= price.work
        wide = replace(operator, constants={i: widened(array) for i, array in operator.constants.items()})
        for value, array in zip(made, run_operator(wide, [])):
            self.out.constants[value.name] = narrowed(array, value.dtype)
        if (before := whole_numbers(operator)) is not None:
            self.out.whole[operator.outputs[0]] = before
        return True

    def _add_made(self, node: OnnxNode, array: np.ndarray) -> None:
        if len(node.outputs) != 1 or not node.outputs[0]:
            raise FormatError(f"{node.label}: makes one output, not {len(node.outputs)}")
        self.out.constants[node.outputs[0]] = array

    def _fresh(self, value: Value, sources: Sequence[Value | None]) -> Value:
        """`value` with new symbols for sizes that are new: a name made up twice must not make two sizes one."""
        old = {dim for source in sources if source is not None for dim in source.shape}
        if not any(isinstance(dim, str) and dim not in old for dim in value.shape):
            return value
        return replace(value, shape=tuple(self.symbols.unused(dim) if isinstance(dim, str) and dim not in old else dim
                                          for dim in value.shape))


def _is_known(node: OnnxNode) -> bool:
    """Whether a node in today's form can be one of the steps."""
    if node.op in OPERATORS:
        return OPERATORS[node.op].domain == node.domain
    return not node.domain and (node.op in GATES or node.op == "Constant")


def _has_meaning(node: OnnxNode) -> bool:
    """Whether the operator that a node is called like is known, in any form."""
    if node.domain:
        return f"{node.domain}.{node.op}" in FORMS or _is_known(node)
    return _is_known(node) or node.op in FORMS or node.op in TAKEN_IN or node.op in lists.RULES
