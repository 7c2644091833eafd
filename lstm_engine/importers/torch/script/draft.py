"""A spec of the inputs of a TorchScript archive, drafted: names by its signature, shapes where weights say them.

The code is gone through without numbers, both sides of every branch: an input is followed to the layers that it comes
to, and what a layer's weights say of it is told of the input itself. What comes of it is a guess until the program
has been written with it (`script.propose`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any

from ..checkpoints.symbols import Instance
from ..checkpoints.symbols import Tensor as Stored
from .archive import Script
from .signature import tensors_of
from .tree import Assign, Attribute, CallOf, Constant, Function, If, Index, Loop, Name, Parameter, Return, Run, Several
from .tree import With as Within
from .values import Object

Sizes = tuple[Any, ...]
MAX_STEPS, MAX_DEPTH, MAX_GUESSES = 50_000, 48, 12
# What gives a tensor of its first argument's shape; what is not here and no layer ends the way of an input.
_KEEPING = frozenset("""contiguous to float dropout feature_dropout relu relu_ tanh sigmoid gelu silu elu leaky_relu
    softmax log_softmax layer_norm batch_norm instance_norm group_norm add add_ sub mul mul_ div div_ clone detach neg
    clamp hardtanh selu exp log sqrt pow masked_fill type_as index_select flip abs softplus rms_norm slice alias cpu
    """.split())
_ANEW = frozenset({"view", "reshape", "flatten", "expand", "squeeze", "unbind", "repeat", "cat", "unflatten"})
_PLACES = ("batch", "time", "axis", "width")
_RECURRENT = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
_CELLS = {"lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"}
_OPEN = {1: ("batch",), 2: ("batch", "time"), 3: ("batch", "time", "axis"), 4: ("batch", "axis", "height", "width")}


@dataclass(frozen=True)
class Flow:
    """An input on its way: `back` makes of a shape here the shape of the input."""

    name: str
    back: tuple[Callable[[list[Any]], list[Any]], ...] = ()
    lost: bool = False              # laid out anew: its numbers come here, and nothing is known of its shape

    def then(self, back: Callable[[list[Any]], list[Any]]) -> Flow:
        return Flow(self.name, (*self.back, back), self.lost)

    def at_the_input(self, shape: Sequence[Any]) -> Sizes:
        made = list(shape)
        for back in reversed(self.back):
            made = back(made)
        return tuple(made)


@dataclass(eq=False)
class Draft:
    """What was found of each input: `shapes` in the order in which they are likely, and its dtype if not float32."""

    shapes: dict[str, list[Sizes]] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)
    fixed: dict[str, str] = field(default_factory=dict)         # no tensors: the name of the type
    optional: list[str] = field(default_factory=list)           # may be left out, and are
    unknown: list[str] = field(default_factory=list)            # of which no weight says anything

    def guesses(self) -> Iterator[dict[str, Any]]:
        """Specs to be tried, the likeliest first."""
        for shapes in islice(product(*self.shapes.values()), MAX_GUESSES):
            spec: dict[str, Any] = {"shapes": {name: list(shape) for name, shape in zip(self.shapes, shapes)}}   # noqa: B905
            if self.dtypes:
                spec["dtypes"] = dict(self.dtypes)
            if self.fixed:
                spec["fixed"] = dict.fromkeys(self.fixed)
            yield spec


def drafted(script: Script, owner: Object, method: str) -> Draft:
    """The inputs of a method, and what their layers say of them."""
    draft, way = Draft(), _Way(script)
    arguments: list[Any] = []
    for parameter in owner.kind.methods[method].parameters[1:]:
        names = [name for name, _ in tensors_of(parameter)]
        if parameter.default is not None:
            draft.optional += names
            arguments.append(None)
            continue
        if not names:
            draft.fixed[parameter.name] = _type_name(parameter)
        draft.shapes.update((name, []) for name in names)
        flows = [Flow(name) for name in names]
        arguments.append(flows[0] if names == [parameter.name] else tuple(flows) or None)
    way.call(owner.kind.methods[method], [owner, *arguments], 0)
    for name, shapes in draft.shapes.items():
        if name not in way.full and name not in way.ends:
            draft.unknown.append(name)
        shapes += dict.fromkeys([*way.full.get(name, ()), *way.partly(name)])
        if dtype := way.dtypes.get(name):
            draft.dtypes[name] = dtype
    return draft


def _type_name(parameter: Parameter) -> str:
    type_ = parameter.type.value if isinstance(parameter.type, Index) else parameter.type
    return type_.id if isinstance(type_, Name) else "no tensor"


class _Way:
    """One way through the code. full: whole shapes of inputs; ends: what is known of single axes."""

    def __init__(self, script: Script) -> None:
        self.script, self.steps = script, 0
        self.full: dict[str, list[Sizes]] = {}
        self.ends: dict[str, list[tuple[Flow, int, int]]] = {}
        self.dtypes: dict[str, str] = {}

    def partly(self, name: str) -> Iterator[Sizes]:
        """Shapes of the ranks that there may be, with what is known of single axes; else with a size to be told."""
        known = self.ends.get(name, ())
        ranks = (2, 1, 3) if self.dtypes.get(name) == "int64" else (3, 2, 4, 1)
        made: list[Sizes] = []
        for flow, axis, size in known:
            for rank in ranks:
                here: list[Any] = list(_OPEN[rank])
                if -rank <= axis < rank:
                    here[axis] = size
                    made.append(flow.at_the_input(here))
        yield from sorted((shape for shape in made if len(shape) in ranks and len({*map(str, shape)}) == len(shape)),
                          key=lambda shape: ranks.index(len(shape)))
        if not known and not self.full.get(name):
            for rank in ranks:
                yield _OPEN[rank][:rank] if self.dtypes.get(name) == "int64" else (*_OPEN[rank][:rank - 1], "features")

    def whole(self, value: Any, shape: Sequence[Any]) -> None:
        if isinstance(value, Flow) and not value.lost:
            self.full.setdefault(value.name, []).append(value.at_the_input(shape))

    def axis(self, value: Any, axis: int, size: Any) -> None:
        if isinstance(value, Flow) and not value.lost and type(size) is int:
            self.ends.setdefault(value.name, []).append((value, axis, size))

    # The code.

    def call(self, function: Function, arguments: Sequence[Any], depth: int) -> Any:
        scope: dict[str, Any] = dict.fromkeys(parameter.name for parameter in function.parameters)
        scope.update(zip(scope, arguments))                 # noqa: B905
        return self.block(function.body, scope, depth + 1)

    def block(self, body: Sequence[Any], scope: dict[str, Any], depth: int) -> Any:
        made: Any = None
        for statement in body:
            self.steps += 1
            if self.steps > MAX_STEPS or depth > MAX_DEPTH:
                return made
            if isinstance(statement, Assign):
                self._assign(statement, scope, depth)
            elif isinstance(statement, Run):
                self.value(statement.value, scope, depth)
            elif isinstance(statement, Return):
                made = self.value(statement.value, scope, depth)
            elif isinstance(statement, If):
                ways = [dict(scope), dict(scope)]
                for way, inner in zip(ways, (statement.then, statement.otherwise), strict=True):
                    made = self.block(inner, way, depth) or made
                scope.update({name: min((way.get(name) for way in ways), key=_detours) for name in ways[0] | ways[1]})
            elif isinstance(statement, (Loop, Within)):
                made = self.block(statement.body, scope, depth) or made
        return made

    def _assign(self, statement: Assign, scope: dict[str, Any], depth: int) -> None:
        value = self.value(statement.value, scope, depth)
        names = [target.id for target in statement.targets if isinstance(target, Name)]
        if not statement.many:
            scope.update(dict.fromkeys(names, value))
            return
        values = list(value) if isinstance(value, (list, tuple)) and len(value) == len(names) else [None] * len(names)
        scope.update(zip(names, values, strict=True))

    def value(self, tree: Any, scope: Mapping[str, Any], depth: int) -> Any:
        self.steps += 1
        if isinstance(tree, Constant):
            return tree.value
        if isinstance(tree, Name):
            return scope.get(tree.id, tree)
        if isinstance(tree, Several) and tree.kind != "{}":
            return [self.value(item, scope, depth) for item in tree.items]
        if isinstance(tree, Attribute):
            return self._attribute(self.value(tree.value, scope, depth), tree.name)
        if isinstance(tree, Index):
            held, at = self.value(tree.value, scope, depth), [self.value(item, scope, depth) for item in tree.items]
            number = at[0] if len(at) == 1 else None
            fits = isinstance(held, (list, tuple)) and type(number) is int and -len(held) <= number < len(held)
            return held[number] if fits else None
        return self._called(tree, scope, depth) if isinstance(tree, CallOf) else None

    def _attribute(self, owner: Any, name: str) -> Any:
        if isinstance(owner, Name):
            return Name(f"{owner.id}.{name}")               # a path: torch.add, __torch__.f
        if not isinstance(owner, Object):
            return None
        state = owner.instance.state
        return self._held(state.get(name)) if isinstance(state, dict) else None

    def _held(self, value: Any) -> Any:
        if isinstance(value, Instance):
            kind = self.script.classes.get(str(value.symbol))
            return None if kind is None else Object("", value, kind, str(value.symbol))
        if isinstance(value, (list, tuple)):
            self.steps += len(value)
            return [self._held(item) for item in value] if self.steps < MAX_STEPS else None
        return value

    def _called(self, tree: CallOf, scope: Mapping[str, Any], depth: int) -> Any:
        if isinstance(tree.function, Name) and tree.function.id in ("annotate", "unchecked_cast"):
            return self.value(tree.arguments[1], scope, depth) if len(tree.arguments) == 2 else None
        given = [self.value(item, scope, depth) for item in tree.arguments]
        if self.steps > MAX_STEPS or depth > MAX_DEPTH:
            return None
        if isinstance(tree.function, Attribute):
            owner = self.value(tree.function.value, scope, depth)
            if isinstance(owner, Object):
                inner = owner.kind.methods.get(tree.function.name)
                return None if inner is None else self.call(inner, [owner, *given], depth)
        called = self.value(tree.function, scope, depth)
        if not isinstance(called, Name):
            return None
        if called.id in self.script.functions:
            return self.call(self.script.functions[called.id], given, depth)
        if called.id in self.script.classes:
            return given                                    # a NamedTuple
        return self._layer(called.id.removeprefix("torch."), given) if given else None

    # Layers.

    def _layer(self, word: str, given: list[Any]) -> Any:
        """What an operator says of the inputs that come to it, and what becomes of them."""
        x, shapes = given[0], [list(one.shape) if isinstance(one, Stored) else None for one in given]
        weight = shapes[1] if len(shapes) > 1 else None
        if word in _RECURRENT:
            return self._recurrent(word, given)
        if word in _CELLS:
            return self._cell(given)
        if word == "embedding" and shapes[0] is not None and isinstance(given[1], Flow):
            self.dtypes[given[1].name] = "int64"
            return given[1].then(lambda shape: shape[:-1])
        if word == "embedding_bag" and shapes[0] is not None:
            self.dtypes.update((one.name, "int64") for one in given[1:3] if isinstance(one, Flow))
            return None
        if word == "_pack_padded_sequence" and len(given) > 2:
            self._counts(given[1])
            return [x, None] if given[2] is True else [_turned(x, 0, 1), None]
        if not isinstance(x, Flow):
            return None
        if word in ("linear", "matmul", "addmm") and weight is not None and len(weight) == 2:
            size = weight[1] if word == "linear" else weight[0]
            self.axis(x, -1, size)
            return x.then(lambda shape: [*shape[:-1], size])
        if word in ("conv1d", "conv2d", "_convolution", "_convolution_mode") and weight is not None and (
                len(weight) in (3, 4)):
            groups = next((one for one in reversed(given[2:9]) if type(one) is int), 1)
            channels = weight[1] * groups
            self.whole(x, ("batch", channels, *(("time",) if len(weight) == 3 else ("height", "width"))))
            return x.then(lambda shape: [shape[0], channels, *shape[2:]])
        if word == "layer_norm" and len(given) > 1 and isinstance(given[1], list) and given[1]:
            self.axis(x, -1, given[1][-1])
        if word in ("batch_norm", "instance_norm") and weight is not None and len(weight) == 1:
            self.axis(x, 1, weight[0])
        if word in ("transpose", "swapaxes") and all(type(one) is int for one in given[1:3]) and len(given) > 2:
            return _turned(x, given[1], given[2])
        if word == "permute" and len(given) > 1 and isinstance(given[1], list) and (
                sorted(map(str, given[1])) == sorted(map(str, range(len(given[1]))))):
            order = [int(axis) for axis in given[1]]
            return x.then(lambda shape: [shape[order.index(axis)] for axis in range(len(shape))]
                          if len(shape) == len(order) else shape)
        axis = given[1] if len(given) > 1 and type(given[1]) is int else None
        if word == "sort":
            return [x, None]
        if word == "unsqueeze" and axis is not None:
            return x.then(lambda shape: _without(shape, axis))
        if word == "select" and axis is not None and axis >= 0:
            return x.then(lambda shape: [*shape[:axis], _PLACES[min(axis, 3)], *shape[axis:]])
        if word in _ANEW:
            return Flow(x.name, x.back, True)
        return x if word in _KEEPING else None

    def _recurrent(self, word: str, given: list[Any]) -> Any:
        """torch.lstm(x, states, weights, biases, layers, dropout, train, bidirectional, batch_first), or of packed
        rows (x, batch_sizes, states, weights, biases, layers, dropout, train, bidirectional)."""
        lists = [at for at, one in enumerate(given) if isinstance(one, list) and one]
        weights = next((given[at] for at in reversed(lists) if isinstance(given[at][0], Stored)), None)
        if weights is None or not all(isinstance(one, Stored) and len(one.shape) == 2 for one in weights[:2]) or (
                len(weights) < 2):
            return None
        after = [one for one in given[lists[-1] + 1:] if type(one) is bool]
        hidden, features = weights[0].shape[0] // _RECURRENT[word], weights[0].shape[1]
        packed = len(after) < 4
        first = packed or after[-1]
        shape = ["batch", "time"] if first else ["time", "batch"]
        self.whole(given[0], [*shape, features])
        directions = 2 if (after[-1] if packed else after[-2]) else 1
        layers = next((one for one in given[lists[-1] + 1:] if type(one) is int), 1)
        states = given[1] if isinstance(given[1], list) else [given[1]]
        for state, size in zip(states, (weights[1].shape[1], hidden)):          # noqa: B905
            self.whole(state, (layers * directions, "batch", size))
        made = given[0].then(lambda shape: [*shape[:-1], features]) if isinstance(given[0], Flow) else None
        return [made, None, None] if word == "lstm" else [made, None]

    def _cell(self, given: list[Any]) -> None:
        matrices = [one for one in given if isinstance(one, Stored) and len(one.shape) == 2]
        if len(matrices) < 2:
            return
        self.whole(given[0], ("batch", matrices[0].shape[1]))
        for state in given[1] if isinstance(given[1], list) else [given[1]]:
            self.whole(state, ("batch", matrices[1].shape[1]))

    def _counts(self, value: Any) -> None:
        if isinstance(value, Flow):
            self.dtypes[value.name] = "int64"
            self.whole(value, ("batch",))


def _detours(value: Any) -> float:
    """How much is done to an input on one side of a branch: the shorter way is that of the shapes that are meant."""
    if isinstance(value, (list, tuple)):
        return sum(map(_detours, value)) if value else 1e9
    return len(value.back) + 100 * value.lost if isinstance(value, Flow) else 1e6 if value is not None else 1e9


def _without(shape: list[Any], axis: int) -> list[Any]:
    return [size for at, size in enumerate(shape) if at != axis % max(len(shape), 1)]


def _turned(value: Any, first: int, second: int) -> Any:
    def back(shape: list[Any]) -> list[Any]:
        made = list(shape)
        if all(-len(made) <= axis < len(made) for axis in (first, second)):
            made[first], made[second] = made[second], made[first]
        return made
    return value.then(back) if isinstance(value, Flow) else None
