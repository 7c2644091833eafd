"""A program, written in ONNX's vocabulary: weights, inputs, nodes one after the other, outputs.

Results are compared with what the program says of them (dtype, number of axes, known sizes): where the two differ,
the file contradicts itself, or this reading does, and nothing is converted. Operators that change a tensor in place
are taken where nothing but the result is read afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ....errors import FormatError, GraphError, UnsupportedError
from ....graph import DTYPES
from ....graph.nodes import Value
from ...onnx.model import OnnxModel
from . import (  # noqa: F401
    activations,
    attention,
    bags,
    elementwise,
    functions,
    indexing,
    layers,
    pooling,
    rearranging,
    recurrent,
    reductions,
    scattering,
    sequences,
    shaping,
    sizes,
)
from .arguments import HALF, Arguments
from .emit import Emitter, Size, Tensor
from .guards import Guards, compared
from .promotion import as_dtype
from .refusals import why
from .registry import TABLE
from .scattering import put_view
from .schema import Call, Program, Ref

PREFIXES = ("torch.ops.aten.", "torch.ops.")
VIEWS = ("select.int", "slice.Tensor", "transpose.int", "unsqueeze.default")
NEVER = 1 << 60                 # when an output of the program is read: after every node
# Nodes that make nothing: they repeat what tracing has found of dtypes, which is checked here for every value.
_SAYING_NOTHING = frozenset({"_assert_tensor_metadata.default", "sym_constrain_range.default",
                             "sym_constrain_range_for_size.default"})


def written(program: Program, load: Callable[[str], np.ndarray]) -> OnnxModel:
    """The program as a model in ONNX's vocabulary. load: the array of a weight by its name in the file.

    Raises FormatError for a program that contradicts itself, UnsupportedError naming the node that cannot be run.
    """
    return _Writer(program, load).run()


class _Writer:
    def __init__(self, program: Program, load: Callable[[str], np.ndarray]) -> None:
        self.program, self.load = program, load
        self.e = Emitter()
        self.guards = Guards(self.e)
        self.values: dict[str, Any] = {}
        self.owner: dict[str, int] = {}             # the memory that a tensor may share, by a number
        self.sharing: dict[int, set[str]] = {}
        self.first: dict[str, str] = {}             # the first name of a tensor that a change in place has named again
        self.views: dict[str, tuple[str, Arguments]] = {}       # views that can be written through: of what, and how
        self.given: set[int] = set()                # memory of inputs and weights
        self.last_use = _last_uses(program)

    def run(self) -> OnnxModel:
        program = self.program
        reads = {name for name in self.last_use}
        for name, weight in program.weights.items():
            if name in reads:
                self._weight(name, weight)
        for name in program.inputs:
            self._input(name)
        given = {name: self.values[name] for name in program.inputs}
        self.e.hint = "sizes"
        self.guards.ranges(program, given)
        self.guards.code(program, given)
        for at, call in enumerate(program.nodes):
            self._node(at, call)
        outputs = list(self._outputs())
        if outputs:
            outputs[0] = outputs[0][0], self.guards.tie(outputs[0][1])
        return self.e.model(outputs, f"torch {program.torch_version}")

    def _weight(self, name: str, weight: str) -> None:
        array = self.load(weight)
        self.e.allow(array.nbytes)
        self._put(name, self.e.constant(array, name=weight), own=True)
        self._check(name, f"tensor {weight!r:.100}")

    def _input(self, name: str) -> None:
        meta = self.program.metas[name]
        dtype = HALF.get(meta.dtype, meta.dtype)
        if dtype not in DTYPES:
            raise UnsupportedError(f"input {name!r:.100} is of {meta.dtype}; supported: {', '.join(DTYPES)}")
        shape = tuple(f"{name}_{axis}" if dim is None else dim for axis, dim in enumerate(meta.shape))
        self._put(name, self.e.given(Value(name, shape, dtype)), own=True)

    def _put(self, name: str, value: Any, own: bool = False, shares: int | None = None) -> None:
        self.values[name] = value
        if isinstance(value, Tensor):
            memory = len(self.owner) if shares is None else shares
            self.owner[name] = memory
            self.sharing.setdefault(memory, set()).add(name)
            if own:
                self.given.add(memory)

    # Nodes.

    def _node(self, at: int, call: Call) -> None:
        op = next((call.target.removeprefix(p) for p in PREFIXES if call.target.startswith(p)), call.target)
        if op in _SAYING_NOTHING:
            return
        if op == "_assert_scalar.default":
            self._assert(call)
            return
        name, _, overload = op.rpartition(".")
        in_place = op not in TABLE and name.endswith("_") and f"{name[:-1]}.{overload}" in TABLE
        if in_place:
            op = f"{name[:-1]}.{overload}"
        if op not in TABLE:
            raise UnsupportedError(f"{call.label}: this operator is not supported{why(call.target)}")
        self.e.hint = call.name or "v"
        values = {name: self._value(value) for name, value in call.arguments.items()}
        outputs = _named(call)
        said = self.program.metas.get(outputs[0].name) if outputs and isinstance(outputs[0], Ref) else None
        arguments = Arguments(call.label, op, values, len(outputs), None if said is None else len(said.shape))
        try:
            result = TABLE[op].write(self.e, arguments)
        except (GraphError, OverflowError) as error:        # shapes or numbers that do not fit each other
            raise FormatError(f"{call.label}: {error}") from error
        except UnsupportedError as error:
            raise error if str(error).startswith(call.label) else UnsupportedError(f"{call.label}: {error}") from error
        arguments.check_all_taken()
        if in_place:
            result = self._changed(at, call, result)
        shares = self._memory(call) if in_place or not TABLE[op].fresh else None
        self._bind(call, result, shares)
        target = next(iter(call.arguments.values()), None)
        if in_place and isinstance(target, Ref) and outputs and isinstance(outputs[0], Ref):
            self.first[outputs[0].name] = self.first.get(target.name, target.name)
        if op in VIEWS and isinstance(target, Ref) and outputs and isinstance(outputs[0], Ref):
            self.views[outputs[0].name] = target.name, arguments

    def _assert(self, call: Call) -> None:
        """A condition that the program checks when it runs."""
        condition = self._value(call.arguments.get("self"))
        message = self._value(call.arguments.get("assert_msg", ""))
        if not isinstance(condition, Tensor) or condition.rank or condition.dtype != "bool":
            raise UnsupportedError(f"{call.label}: a condition on values is not supported")
        self.e.require(str(message), condition)

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if isinstance(value, Ref):
            if value.name not in self.values:
                raise FormatError(f"value {value.name!r:.100} has no meaning here")
            return self.values[value.name]
        return value

    def _memory(self, call: Call) -> int | None:
        """The memory of a call's first tensor, which its results may share."""
        names = (ref.name for ref in _refs(list(call.arguments.values())))
        return next((self.owner[name] for name in names if name in self.owner), None)

    def _changed(self, at: int, call: Call, result: Any) -> Tensor:
        """What a tensor is after a change in place, which is put into the tensors that it is a part of. Raises
        UnsupportedError if anything else would see the change."""
        target = next(iter(call.arguments.values()), None)
        before = self.values.get(target.name) if isinstance(target, Ref) else None
        if not isinstance(target, Ref) or not isinstance(before, Tensor) or not isinstance(result, Tensor):
            raise UnsupportedError(f"{call.label}: a change in place of something else than a tensor is not supported")
        if result.rank != before.rank:
            raise FormatError(f"{call.label}: a result of {result.rank} axes in place of {before.rank}")
        changed = as_dtype(self.e, result, before.dtype)
        after = self._put_back(target.name, changed)
        memory = self.owner[target.name]
        others = [name for name in self.sharing[memory] - set(after) if self.last_use.get(name, -1) > at]
        if memory in self.given or others:
            seen = "an input or a weight" if memory in self.given else f"{others[0]!r:.100}, which may share its memory"
            raise UnsupportedError(f"{call.label}: it changes a tensor in place that is seen through {seen}; write it "
                                   "without a change in place (y = torch.where(...), y = torch.cat(...))")
        self.values.update(after)
        return changed

    def _put_back(self, name: str, changed: Tensor) -> dict[str, Tensor]:
        """A changed tensor and all those that it is a view of, each with the change, by all names that they have."""
        after: dict[str, Tensor] = {}
        made: Tensor | None = changed
        while made is not None:
            name = self.first.get(name, name)
            after.update(dict.fromkeys((name, *(n for n, first in self.first.items() if first == name)), made))
            if name not in self.views:
                break
            name, arguments = self.views[name]
            made = put_view(self.e, arguments, self.values[name], made)
        return after

    def _bind(self, call: Call, result: Any, shares: int | None) -> None:
        outputs = _named(call)
        made = list(result) if isinstance(result, (list, tuple)) else [result]
        if len(outputs) != len(made):
            raise FormatError(f"{call.label}: makes {len(made)} values, {len(outputs)} are named")
        for output, value in zip(outputs, made):
            if not isinstance(output, Ref):
                continue
            if value is None:
                if output.name in self.last_use:
                    raise UnsupportedError(f"{call.label}: its output {output.name!r:.100} is not supported")
                continue
            self._put(output.name, self._settled(output.name, value), shares=shares)
            self._check(output.name, call.label)

    def _settled(self, name: str, value: Any) -> Any:
        """A tensor with sizes that the program says and that cannot be told here, each on the condition that it is so:
        torch works them out from conditions on the sizes of several inputs."""
        meta = self.program.metas.get(name)
        if meta is None or not isinstance(value, Tensor) or value.array is not None or len(meta.shape) != value.rank:
            return value
        for axis, (said, dim) in enumerate(zip(meta.shape, value.shape)):
            if isinstance(said, int) and isinstance(dim, str):
                size = self.e.size(value, axis)
                self.e.require(f"axis {axis} of {name!r:.100} has {said} elements", compared(self.e, "eq", size, said))
        shape = tuple(said if isinstance(said, int) and isinstance(dim, str) else dim
                      for said, dim in zip(meta.shape, value.shape))
        return Tensor(value.name, shape, value.dtype)

    def _check(self, name: str, who: str) -> None:
        """Compare a value with what the program says of it. Raises FormatError."""
        value, meta = self.values[name], self.program.metas.get(name)
        if isinstance(value, Size) or type(value) is int:
            said = self.program.sizes.get(name)
            if type(value) is int and type(said) is int and value != said:
                raise FormatError(f"{who}: the size {name!r:.100} is {value}, the program says {said}")
            return
        if meta is None or not isinstance(value, Tensor):
            return
        fits = len(meta.shape) == value.rank and not any(
            isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(meta.shape, value.shape))
        if not fits or HALF.get(meta.dtype, meta.dtype) != value.dtype:
            raise FormatError(f"{who}: {name!r:.100} is {value.dtype} {list(value.shape)}, the program says "
                              f"{meta.dtype} {list(meta.shape)}")

    def _outputs(self) -> Iterator[tuple[str, Tensor]]:
        self.e.hint = "output"
        for value in self.program.outputs:
            known = self._value(value)
            if not isinstance(value, Ref) or not isinstance(known, Tensor):
                if value is None:
                    continue
                raise UnsupportedError(f"an output that is {type(known).__name__} and no tensor is not supported")
            yield self.e.output_name(value.name), known


def _named(call: Call) -> Sequence[Any]:
    """The outputs that a call names: a list of tensors stands as one."""
    return call.outputs[0] if len(call.outputs) == 1 and isinstance(call.outputs[0], list) else call.outputs


def _refs(values: list[Any]) -> Iterator[Ref]:
    for value in values:
        if isinstance(value, list):
            yield from _refs(value)
        elif isinstance(value, Ref):
            yield value


def _last_uses(program: Program) -> dict[str, int]:
    """For each value the number of the last node that reads it."""
    uses: dict[str, int] = {}
    for at, call in enumerate(program.nodes):
        uses.update((ref.name, at) for ref in _refs(list(call.arguments.values())))
    uses.update((ref.name, NEVER) for ref in _refs(program.outputs))
    return uses
