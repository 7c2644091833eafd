"""The calls of a script: what is known of tensors beside their numbers, and the operators, written one by one.

Which overload a call means is found by its arguments, as torch does; what it takes by place gets its name. Every
operator is written at once (`program.convert.Writer`), for ranks and sizes decide how the code goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from ....errors import FormatError, UnsupportedError
from ....graph.names import Names
from ..program.convert import Writer
from ..program.emit import Size, Tensor
from ..program.schema import Call, Inert, Program, Ref, Scalar
from . import packed
from .archive import CHANGED, Script
from .plain import CONTAINERS, Plain
from .schemas import Schema, bind, schemas
from .values import AS_NUMBERS, Number, State, Unknown, changes, shown

MAX_STEPS, MAX_LITERAL = 400_000, 100_000
# c10/core/ScalarType.h
SCALARS = {0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 5: "float16", 6: "float32", 7: "float64",
           11: "bool", 15: "bfloat16"}
_CODES = {dtype: code for code, dtype in SCALARS.items()}
_IN_PLACE = {"__iand__": "bitwise_and_", "__ior__": "bitwise_or_", "__ixor__": "bitwise_xor_"}
# Where torch takes a constant without axes, which is how tracing writes a plain number, for the number that it is, so
# that its type counts for little (torch/csrc/jit/passes/canonicalize_graph_fuser_ops.cpp); of two, for the second.
_BY_NUMBERS = frozenset({"add", "sub", "mul", "div"})
_INERT = frozenset({"device", "is_cuda", "requires_grad", "is_mkldnn", "is_sparse", "is_quantized", "is_nested"})


@dataclass(eq=False)
class Operators:
    script: Script
    writer: Writer
    program: Program
    names: Names = field(default_factory=Names)
    hint: str = ""                                      # the name that is assigned to
    part: str = ""                                      # the module whose code runs: its name from the root
    at: str = ""                                        # the function, for messages
    steps: int = 0
    arrays: dict[str, np.ndarray] = field(default_factory=dict)     # torch.tensor(...) of numbers, by name
    rows: dict[str, Any] = field(default_factory=dict)              # of packed sequences, by the name of batch_sizes
    kept: dict[str, State] = field(default_factory=dict)            # weights, by the name of their value

    def __post_init__(self) -> None:
        def of_sizes(name: str, left: Any, right: Any) -> Any:
            called = {"remainder": "_operator.mod", "min": "torch.sym_min", "max": "torch.sym_max"}.get(name)
            return self.emit(called or f"_operator.{name}", {"a": left, "b": right}, ("Tensor",), "size")

        self.plain = Plain(of_sizes, self.count)

    def count(self, steps: int = 1) -> None:
        """More steps: what a script may have written out has a bound, however its loops and lists nest."""
        self.steps += steps
        if self.steps > MAX_STEPS:
            self.fail(f"the program takes more than {MAX_STEPS} steps to be written out")

    def fail(self, message: str) -> NoReturn:
        raise UnsupportedError(f"{self.at}: {message}" if self.at else message)

    def fail_of_size(self, message: str) -> NoReturn:
        """For loops: what torch.onnx writes down of one is read for any number of turns."""
        self.fail(f"{message} a size of the inputs; {AS_NUMBERS}, or, for any size, convert what torch.onnx.export("
                  "torch.jit.load(path), inputs, 'model.onnx', dynamo=False, dynamic_axes=...) writes")

    def number(self, value: Any) -> Any:
        """A number or size out of a tensor without axes, where it is known; else the value as it is."""
        if isinstance(value, Number):
            return value.value
        tensor = self.writer.value(value) if isinstance(value, Ref) else None
        if isinstance(tensor, Tensor) and tensor.array is not None and tensor.array.size == 1:
            return tensor.array.item()
        return value

    def changes_memory(self, root: str) -> None:
        """Called before the tensor with the name `root`, or a view of it, is changed in place."""
        raise NotImplementedError

    def is_size(self, value: Any) -> bool:
        return isinstance(value, Ref) and isinstance(self.writer.value(value), Size)

    def is_tensor(self, value: Any) -> bool:
        return isinstance(value, Ref) and isinstance(self.writer.value(value), Tensor)

    def asked(self, word: str, *arguments: Any) -> Any:
        """What is known of a tensor beside its numbers, and what Python makes of numbers."""
        value = arguments[0] if arguments else None
        if word == "NumToTensor":
            return Number(value)
        if word in ("min", "max", "abs"):
            return self.plain.call(word, list(arguments[0] if isinstance(value, list) else arguments))
        if word == "dtype" and isinstance(value, Ref) and (dtype := packed.dtype_of(self.writer.value(value))):
            return _CODES[dtype]
        if word == "layout":
            return 0                        # strided
        if word in _INERT:
            return False if word.startswith(("is_", "requires")) else Inert(word)
        if word == "shape" and self.is_tensor(value):
            return self._sizes(value)
        if word == "data":
            return value
        if word == "type" and isinstance(value, Inert):
            return "cpu"
        self.fail(f"ops.prim.{word:.60} is not supported")

    def _sizes(self, value: Any) -> list[Any]:
        return [self.size(value, axis) for axis in range(self.writer.value(value).rank)]

    def size(self, value: Any, axis: Any) -> Any:
        tensor = self.writer.value(value)
        if type(axis) is not int or not -tensor.rank <= axis < tensor.rank:
            raise FormatError(f"{self.at}: axis {axis!r:.40} of a tensor of {tensor.rank} axes")
        if isinstance(tensor.shape[axis], int):
            return tensor.shape[axis]
        return self.emit("sym_size.int", {"self": value, "dim": axis}, ("Tensor",), "size")

    def torch(self, word: str, arguments: list[Any], named: dict[str, Any], line: int) -> Any:
        first = arguments[0] if arguments else None
        if not named and (of_packed := packed.call(self, word, arguments)) is not None:
            return of_packed[0]
        if self.is_tensor(first) and not named:
            if word == "dim" and len(arguments) == 1:
                return self.writer.value(first).rank
            if word == "size":
                return self._sizes(first) if len(arguments) == 1 else self.size(first, self.number(arguments[1]))
            if word == "len" and len(arguments) == 1:
                return self.size(first, 0)
            if word in ("is_floating_point", "is_complex") and len(arguments) == 1:
                return word == "is_floating_point" and self.writer.value(first).is_float
            if word == "to" and len(arguments) > 1 and (arguments[1] is None or isinstance(arguments[1], Inert)):
                dtype = next((one for one in arguments[2:] if type(one) is int), self.asked("dtype", first))
                return self._operator(word, [first, dtype], {}, line)       # to.prim_Device: of a device, and a dtype
            if word == "cpu" and len(arguments) == 1:
                return first
            if word == "numel" and len(arguments) == 1:
                return self.emit("sym_numel.default", {"self": first}, ("Tensor",), "numel")
        if word in _IN_PLACE and self.is_tensor(first):
            word = _IN_PLACE[word]
        if word == "tensor" and len(arguments) == 1:
            return self._literal(first, named, line)
        if word == "_unwrap_optional" and len(arguments) == 1 and first is not None:
            return first
        if word == "is_autocast_enabled":
            return False
        if word == "item" and len(arguments) == 1 and not named:
            return self._item(first, line)
        if word == "format":
            try:
                return self.plain.call(word, arguments)
            except UnsupportedError as error:
                return Unknown(str(error))              # most texts are those of errors
        if word in ("__is__", "__isnot__") or self.plain.knows(word) and not named and (
                isinstance(first, dict) or isinstance(first, list) and word in CONTAINERS
                or not any(map(self._holds_tensor, arguments))):
            return self.plain.call(word, arguments)
        if any(isinstance(one, Number) for one in arguments):
            made = self._of_numbers(word, arguments, named)
            if made is not None:
                return made
        return self._operator(word, arguments, named, line)

    def _holds_tensor(self, value: Any) -> bool:
        self.count()
        if isinstance(value, (list, tuple)):
            return any(map(self._holds_tensor, value))
        return isinstance(value, Number) or self.is_tensor(value)

    def _of_numbers(self, word: str, arguments: list[Any], named: dict[str, Any]) -> Number | None:
        """What tracing does with sizes, which it keeps in tensors without axes; None where it is more than that."""
        values = [self.number(one) for one in arguments]
        if word in ("detach", "clone", "to", "contiguous", "_cast_Long", "_cast_Int") and (
                all(one is None or type(one) in (int, bool) or isinstance(one, Inert) for one in values[1:])):
            dtype = next((one for one in values[1:] if type(one) is int), 4) if word == "to" else 4
            return Number(values[0]) if SCALARS.get(dtype) in ("int64", "int32") else None
        if not all(type(one) is int or self.is_size(one) for one in values):
            return None
        mode = named.get("rounding_mode")
        if word in ("add", "sub", "mul", "neg", "remainder") and not named:
            return Number(self.plain.call(word, values))
        if word == "rsub" and not named and len(values) in (2, 3):
            return Number(self.plain.call("sub", [values[1], values[0], *values[2:]]))
        if word == "floor_divide" and not named or word == "div" and mode == "floor" and len(named) == 1:
            return Number(self.plain.call("floordiv", values))
        return None

    def _operator(self, word: str, arguments: list[Any], named: dict[str, Any], line: int) -> Any:
        """An operator on tensors, by the overload that its arguments fit."""
        if word in ("_convolution", "_convolution_mode"):
            word, arguments = self._convolution(word, arguments)
        overloads = schemas().get(word, ())
        if word in _BY_NUMBERS and len(arguments) > 1 and "rounding_mode" not in named:
            arguments = [arguments[0], self._written_number(arguments[1]), *arguments[2:]]
        values = [self._as_tensor(one) for one in arguments]
        by_name = {name: self._as_tensor(one) for name, one in named.items()}
        for fits in (self._fits, self._fits_as_list):
            for schema in overloads:
                bound = bind(schema, values, by_name, fits)
                if bound is not None:
                    return self._run(schema, bound, line)
        given = ", ".join([*map(shown, values), *(f"{name}={shown(one)}" for name, one in by_name.items())])
        message = (f"{self.at}: torch.{word:.60}({given:.200}) in line {line} is not supported"
                   + (f"; supported: {', '.join(schema.key for schema in overloads)}" if overloads else ""))
        if changes(word) or "out" in named or not overloads and any(isinstance(one, (list, dict)) for one in values):
            raise UnsupportedError(message)             # what it would change is not known
        return Unknown(message)

    def _written_number(self, value: Any) -> Any:
        """A constant of the code without axes as the number that torch computes with; other values as they are."""
        state = self.kept.get(value.name) if isinstance(value, Ref) else None
        if state is None or id(state.stored) in self.script.held or self.writer.value(value).rank:
            return value
        return self.number(value)

    def _literal(self, value: Any, named: Mapping[str, Any], line: int) -> Any:
        """torch.tensor(...): of numbers, lists of them, or one size."""
        dtype = named.get("dtype")
        if isinstance(value, Ref) and self.is_size(value) and dtype in (None, 4):
            return self._as_tensor(Number(value))
        try:
            array = np.asarray(value)
            default = {"f": "float32", "i": "int64", "b": "bool"}[array.dtype.kind]
            kind = default if dtype is None else SCALARS[dtype]
            if array.size > MAX_LITERAL:
                raise ValueError
            with np.errstate(all="raise"):
                array = array.astype(kind)
        except (ValueError, TypeError, KeyError, ArithmeticError):
            self.fail(f"torch.tensor of {shown(value)} in line {line} is not supported")
        ref = Ref(self.names.unused("literal"))
        self.arrays[ref.name] = array
        self.program.weights[ref.name] = ref.name
        self.writer.weight(ref.name, ref.name)
        return self.emit("clone.default", {"self": ref}, ("Tensor",), "literal")

    def _item(self, value: Any, line: int) -> Any:
        known = self.number(value)
        return Unknown(f"{self.at}: torch.item in line {line} is of a tensor whose numbers are not known, which is not "
                       "supported") if self.is_tensor(known) else known

    def _convolution(self, word: str, arguments: list[Any]) -> tuple[str, list[Any]]:
        """What tracing writes for a convolution: the arguments behind the groups say how it is computed."""
        weight = arguments[1]
        if word == "_convolution" and len(arguments) > 8:
            return "convolution", arguments[:9]
        if word == "_convolution_mode" and self.is_tensor(weight) and self.writer.value(weight).rank in (3, 4):
            return f"conv{self.writer.value(weight).rank - 2}d", arguments
        return word, arguments

    def _as_tensor(self, value: Any) -> Any:
        if isinstance(value, Number):
            of = {"s": value.value, "dtype": Scalar("int64")}
            return self.emit("scalar_tensor.default", of, ("Tensor",), "number")
        if isinstance(value, list) and any(isinstance(one, Number) for one in value):
            return [self._as_tensor(one) for one in value]
        return value

    def _fits(self, type_: str, value: Any) -> bool:
        if type_.endswith("?"):
            return value is None or self._fits(type_[:-1], value)
        if type_.endswith("[]"):
            return isinstance(value, (list, tuple)) and all(self._fits(type_[:-2], one) for one in value)
        if type_ == "Tensor":
            return self.is_tensor(value)
        if type_ == "int":
            return type(value) is int or self.is_size(value)
        if type_ == "float":
            return type(value) in (float, int)
        if type_ == "Scalar":
            return type(value) in (int, float, bool) or self.is_size(value)
        if type_ == "dtype":
            return type(value) is int and value in SCALARS
        if type_ == "inert":
            return isinstance(value, Inert) or type(value) is int or value is None
        return {"bool": bool, "str": str}.get(type_) is type(value)

    def _fits_as_list(self, type_: str, value: Any) -> bool:
        """The same where one number stands for a list of them: int[1]."""
        return self._fits(type_, value) or type_.rstrip("?") in ("int[]", "float[]") and self._fits(
            type_.rstrip("?")[:-2], value)

    def _run(self, schema: Schema, bound: dict[str, Any], line: int) -> Any:
        types = {parameter.name: parameter.type for parameter in schema.parameters}
        self._check_version(schema, bound)
        arguments: dict[str, Any] = {}
        if schema.name.endswith("dropout_"):            # dropout_(self, ...) does what dropout(input, ...) does
            bound = {"input" if name == "self" else name: value for name, value in bound.items()}
            types["input"] = types["self"]
        for name, value in bound.items():
            kind = types[name].rstrip("?")
            if kind == "dtype" and value is not None:
                value = Scalar(SCALARS[value])
            elif kind == "inert" and value is not None:
                value = Inert(name)
            elif kind.endswith("[]") and not isinstance(value, list) and value is not None:
                value = list(value) if isinstance(value, tuple) else [value]
            elif kind == "float" and type(value) is int:
                value = float(value)
            arguments[name] = value
        first = next(iter(arguments.values()), None)
        if changes(schema.name) and isinstance(first, Ref):
            self.changes_memory(self.writer.memory.held[first.name].block.area.blocks[0].name)
        if schema.name in ("squeeze", "squeeze_"):
            self._check_squeeze(arguments, line)
        results, as_list = schema.results, schema.results == ("Tensor[]",)
        if as_list:
            results = ("Tensor",) * self._parts(schema, arguments, line)
        try:
            return self.emit(schema.key, arguments, results, schema.name, as_list)
        except FormatError as error:
            if not any(self.is_size(one) for value in arguments.values()
                       for one in (value if isinstance(value, list) else [value])):
                raise
            raise UnsupportedError(f"{error}, a size of the inputs; {AS_NUMBERS}") from error

    def _check_squeeze(self, arguments: Mapping[str, Any], line: int) -> None:
        """Refuse an axis that may go or stay: how many axes there are is known of every tensor."""
        shape, axes = self.writer.value(arguments["self"]).shape, arguments.get("dim")
        axes = range(len(shape)) if axes is None else axes if isinstance(axes, list) else [axes]
        if any(-len(shape) <= axis < len(shape) and not isinstance(shape[axis], int) for axis in axes):
            self.fail(f"torch.squeeze in line {line} drops an axis if it is 1, and its size is open; {AS_NUMBERS}")

    def _check_version(self, schema: Schema, bound: Mapping[str, Any]) -> None:
        """Refuse operators that meant something else in the version of the archive."""
        if self.script.version >= CHANGED.get(schema.name.rstrip("_"), 0):
            return
        floats = [one for one in bound.values() if isinstance(one, float) or self.is_tensor(one)
                  and self.writer.value(one).is_float]
        if schema.name.startswith("div") and floats or "dtype" in bound:
            return
        self.fail(f"torch.{schema.name} of whole numbers meant something else in version {self.script.version} of "
                  "TorchScript; load the archive in PyTorch, and save it again")

    def _parts(self, schema: Schema, arguments: Mapping[str, Any], line: int) -> int:
        """How many tensors an operator makes of one."""
        tensor = self.writer.value(arguments["self"]) if isinstance(arguments.get("self"), Ref) else None
        if schema.name in ("split", "split_with_sizes", "unsafe_split") and isinstance(arguments["split_size" if
                           schema.name != "split_with_sizes" else "split_sizes"], list):
            return len(arguments["split_size" if schema.name != "split_with_sizes" else "split_sizes"])
        if schema.key == "tensor_split.indices":
            return len(arguments["indices"]) + 1
        if schema.name in ("broadcast_tensors", "meshgrid"):
            return len(arguments["tensors"])
        if tensor is None:
            self.fail(f"torch.{schema.name} in line {line} is not supported")
        axis = arguments.get("dim", 0)
        size = tensor.shape[axis] if tensor.rank and type(axis) is int and -tensor.rank <= axis < tensor.rank else None
        if type(size) is not int:
            self.fail_of_size(f"torch.{schema.name} in line {line} makes as many tensors as")
        if schema.name == "unbind":
            return size
        if schema.key == "tensor_split.sections" and type(arguments["sections"]) is int:
            return int(arguments["sections"])
        wanted = arguments.get("chunks", arguments.get("split_size"))
        if type(wanted) is not int or wanted < 1:
            self.fail(f"torch.{schema.name} of {shown(wanted)} in line {line} is not supported")
        if schema.name in ("chunk", "unsafe_chunk"):
            wanted = max(1, -(-size // wanted))
        return max(1, -(-size // wanted))

    def emit(self, key: str, arguments: dict[str, Any], results: Sequence[str], hint: str,
             as_list: bool = False) -> Any:
        """Write one operator; its result, or the tuple or list of them."""
        name = self.names.unused(self.part or self.hint or hint)
        refs = [Ref(name if at == 0 else self.names.unused(f"{name}_{at}")) for at in range(len(results))]
        spaces = {"_operator": "", "torch": "", "lstm_engine": "torch.ops."}
        target = spaces.get(key.split(".")[0], "torch.ops.aten.") + key
        # Lists as they are now: the code may change them later.
        arguments = {one: list(value) if isinstance(value, list) else value for one, value in arguments.items()}
        call = Call(name, target, arguments, ([*refs],) if as_list else tuple(refs))
        self.program.nodes.append(call)
        self.writer.node(len(self.program.nodes) - 1, call)
        if len(refs) == 1 and not as_list and type(known := self.writer.value(refs[0])) is int:
            return known
        if as_list:
            return refs
        return None if not refs else refs[0] if len(refs) == 1 else tuple(refs)
