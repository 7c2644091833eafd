"""A program, written in ONNX's vocabulary: weights, inputs, nodes one after the other, outputs.

Results are compared with what the program says of them (dtype, number of axes, known sizes): where the two differ,
the file contradicts itself, or this reading does, and nothing is converted. Operators that change a tensor in place
are followed through the views that share its memory (`memory`).
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
    matrices,
    pooling,
    ranks,
    rearranging,
    recurrent,
    reductions,
    resizing,
    running,
    scattering,
    sequences,
    shaping,
    sizes,
    special,
)
from .arguments import HALF, Arguments
from .emit import Emitter, Size, Tensor
from .guards import Guards, compared
from .memory import Memory, View
from .promotion import as_dtype
from .refusals import why
from .registry import ALIASES, TABLE, Known
from .schema import Call, Program, Ref

PREFIXES = ("torch.ops.aten.", "torch.ops.")
# In place, these change the axes of the tensor and none of its numbers. Not all have the overload of what they do.
AXES_IN_PLACE = {"transpose_.default": "transpose.int", "swapaxes_.default": "swapaxes.default",
                 "swapdims_.default": "swapdims.default", "t_.default": "t.default",
                 "unsqueeze_.default": "unsqueeze.default", "squeeze_.default": "squeeze.default",
                 "squeeze_.dim": "squeeze.dim", "squeeze_.dims": "squeeze.dims"}
# What reads all of its tensors for each element that it writes.
_PRODUCTS = frozenset({"addmm.default", "addmv.default", "baddbmm.default"})
NEVER = 1 << 60                 # when an output of the program is read: after every node
# Nodes that make nothing: they repeat what tracing has found of dtypes, which is checked here for every value.
_SAYING_NOTHING = frozenset({"_assert_tensor_metadata.default", "sym_constrain_range.default",
                             "sym_constrain_range_for_size.default"})


def written(program: Program, load: Callable[[str], np.ndarray]) -> OnnxModel:
    """The program as a model in ONNX's vocabulary. load: the array of a weight by its name in the file.

    Raises FormatError for a program that contradicts itself, UnsupportedError naming the node that cannot be run.
    """
    return Writer(program, load).run()


class Writer:
    """Writes a program that is whole, by `run`; or one that is found out as it is written, value by value, for its
    shapes (`importers.torch.script`): what is read later is not known then, and changes in place are
    looked at by `run`.
    """

    def __init__(self, program: Program, load: Callable[[str], np.ndarray]) -> None:
        self.program, self.load = program, load
        self.e = Emitter()
        self.guards = Guards(self.e)
        self.values: dict[str, Any] = {}
        self.last_use = _last_uses(program)
        self.memory = Memory(self.e, self.last_use)
        self.missing: dict[str, str] = {}           # results that no operator here makes: who would have

    def run(self) -> OnnxModel:
        program = self.program
        reads = {name for name in self.last_use}
        for name, weight in program.weights.items():
            if name in reads:
                self.weight(name, weight)
        for name in program.inputs:
            self.input(name)
        given = {name: self.value(Ref(name)) for name in program.inputs}
        self.e.hint = "sizes"
        self.guards.ranges(program, given)
        self.guards.code(program, given)
        for at, call in enumerate(program.nodes):
            self.node(at, call)
        outputs = list(self._outputs())
        if outputs:
            outputs[0] = outputs[0][0], self.guards.tie(outputs[0][1])
        return self.e.model(outputs, f"torch {program.torch_version}".strip())

    def weight(self, name: str, weight: str) -> None:
        array = self.load(weight)
        self.e.allow(array.nbytes)
        self._put(name, self.e.constant(array, name=weight), given=True)
        self._check(name, f"tensor {weight!r:.100}")

    def input(self, name: str) -> None:
        meta = self.program.metas[name]
        dtype = HALF.get(meta.dtype, meta.dtype)
        if dtype not in DTYPES:
            raise UnsupportedError(f"input {name!r:.100} is of {meta.dtype}; supported: {', '.join(DTYPES)}")
        shape = tuple(f"{name}_{axis}" if dim is None else dim for axis, dim in enumerate(meta.shape))
        self._put(name, self.e.given(Value(name, shape, dtype)), given=True)

    def _put(self, name: str, value: Any, given: bool = False) -> None:
        """A value that shares no memory with others; given: of an input or a weight."""
        if isinstance(value, Tensor):
            self.memory.own(name, value, given)
        else:
            self.values[name] = value

    # Nodes.

    def node(self, at: int, call: Call) -> None:
        op = next((call.target.removeprefix(p) for p in PREFIXES if call.target.startswith(p)), call.target)
        if op in _SAYING_NOTHING:
            return
        if op == "_assert_scalar.default":
            self._assert(call)
            return
        name, _, overload = op.rpartition(".")
        if (plain := name.removesuffix("_")) in ALIASES:
            name = ALIASES[plain] + name[len(plain):]
            op = f"{name}.{overload}"
        turns, in_place = op in AXES_IN_PLACE, False
        if turns:
            op = AXES_IN_PLACE[op]
        elif op not in TABLE and name.endswith("_") and f"{name[:-1]}.{overload}" in TABLE:
            op, in_place = f"{name[:-1]}.{overload}", True
        if op not in TABLE:
            raise UnsupportedError(f"{call.label}: this operator is not supported{why(call.target)}")
        self.e.hint = call.name or "v"
        values = {name: self.value(value) for name, value in call.arguments.items()}
        outputs = _named(call)
        said = self.program.metas.get(outputs[0].name) if outputs and isinstance(outputs[0], Ref) else None
        arguments = Arguments(call.label, op, values, len(outputs), None if said is None else len(said.shape))
        try:
            result = TABLE[op].write(self.e, arguments)
            arguments.check_all_taken()
            if in_place:
                self._changed(at, call, op, result)
                return
            if turns:
                self.memory.turned(call.label, at, self._target(call))
            self._bind(call, result, TABLE[op], arguments)
        except (GraphError, OverflowError) as error:        # shapes or numbers that do not fit each other
            raise FormatError(f"{call.label}: {error}") from error
        except UnsupportedError as error:
            raise error if str(error).startswith("node ") else UnsupportedError(f"{call.label}: {error}") from error

    def _assert(self, call: Call) -> None:
        """A condition that the program checks when it runs."""
        condition = self.value(call.arguments.get("self"))
        message = self.value(call.arguments.get("assert_msg", ""))
        if not isinstance(condition, Tensor) or condition.rank or condition.dtype != "bool":
            raise UnsupportedError(f"{call.label}: a condition on values is not supported")
        self.e.require(str(message), condition)

    def value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, Ref):
            if value.name in self.memory.held:
                return self.memory.read(self.memory.held[value.name])
            if value.name in self.missing:
                raise UnsupportedError(self.missing[value.name])
            if value.name not in self.values:
                raise FormatError(f"value {value.name!r:.100} has no meaning here")
            return self.values[value.name]
        return value

    def _target(self, call: Call) -> str:
        """The tensor that a call in place changes, its first argument."""
        target = next(iter(call.arguments.values()), None)
        if not isinstance(target, Ref) or target.name not in self.memory.held:
            raise UnsupportedError(f"{call.label}: a change in place of something else than a tensor is not supported")
        return target.name

    def _changed(self, at: int, call: Call, op: str, result: Any) -> None:
        """A tensor after a change in place, which its views and what it is a view of see; the call's output is another
        name of it. Raises UnsupportedError if that cannot be followed."""
        target = self._target(call)
        before = self.memory.read(self.memory.held[target])
        if not isinstance(result, Tensor):
            raise UnsupportedError(f"{call.label}: a change in place of several tensors is not supported")
        if result.rank != before.rank or any(isinstance(new, int) and isinstance(old, int) and new != old
                                             for new, old in zip(result.shape, before.shape)):
            raise FormatError(f"{call.label}: a result {list(result.shape)} in place of {list(before.shape)}")
        for axis, (new, old) in enumerate(zip(result.shape, before.shape)):
            if new != old and (old == 1 or isinstance(old, str)):   # torch does not spread what is changed in place
                text = f"{call.label} leaves axis {axis} of the tensor that it changes as it is"
                self.e.require(text, compared(self.e, "eq", self.e.size(result, axis), self.e.size(before, axis)))
        changed = as_dtype(self.e, result, before.dtype)
        changed = Tensor(changed.name, before.shape, changed.dtype, changed.array)
        sources = [ref.name for ref in _refs(list(call.arguments.values())[1:]) if ref.name in self.memory.held]
        self.memory.write(call.label, at, target, changed, sources, op not in _PRODUCTS)
        for output in _named(call):
            if isinstance(output, Ref):
                self.memory.again(output.name, target)
                self._check(output.name, call.label)

    def _bind(self, call: Call, result: Any, known: Known, arguments: Arguments) -> None:
        outputs = _named(call)
        made = list(result) if isinstance(result, (list, tuple)) else [result]
        if len(outputs) != len(made):
            raise FormatError(f"{call.label}: makes {len(made)} values, {len(outputs)} are named")
        for at, (output, value) in enumerate(zip(outputs, made)):
            if not isinstance(output, Ref):
                continue
            if value is None:
                self.missing[output.name] = f"{call.label}: its output {at} is not supported"
                if output.name in self.last_use:
                    raise UnsupportedError(self.missing[output.name])
                continue
            self._remember(call, output.name, self._settled(output.name, value), known, arguments, at)
            self._check(output.name, call.label)

    def _remember(self, call: Call, name: str, value: Any, known: Known, arguments: Arguments, at: int) -> None:
        """Put a result by, as memory of its own or as a view of an argument."""
        shared = [(argument, [ref.name for ref in _refs([given]) if ref.name in self.memory.held])
                  for argument, given in call.arguments.items()]
        argument, names = next(((argument, names) for argument, names in shared if names), ("", []))
        if known.fresh or not isinstance(value, Tensor) or not names:
            self._put(name, value)
            return
        of = names[at] if known.each and len(names) > at else names[0]
        shares, view = not known.copies or self._is_view(of, name, arguments), View(known, arguments, argument, at)
        if shares is None:
            self.memory.beside(name, value, of, view)
        elif shares:
            self.memory.part(name, value, of, view)
        else:
            self._put(name, value)

    def _is_view(self, of: str, name: str, arguments: Arguments) -> bool | None:
        """Whether an operator that gives a view or a copy has given a view; None where that cannot be told."""
        before, after = self.program.metas.get(of), self.program.metas.get(name)
        if before is None or after is None or arguments.op.startswith("einsum") or before.dtype != after.dtype:
            return None if before is None or after is None or before.dtype == after.dtype else False
        if arguments.op.startswith(("to.", "type_as.")):
            told = not any(arguments.has(option) for option in ("device", "layout", "memory_format", "pin_memory"))
            return None if not told or not isinstance(arguments.any("copy", False), bool) else \
                not arguments.any("copy", False)
        if not after.contiguous or before.contiguous is None:
            return None
        return before.contiguous

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
        value, meta = self.value(Ref(name)), self.program.metas.get(name)
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
            known = self.value(value)
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
