"""The exported program in `models/model.json`, as data: what the serialized schema says, checked, nothing interpreted.

An argument becomes a Python value: None, bool, int, float, str, a `Ref` to a value of the program, a `Scalar` type, a
list of these; what holds no numbers (devices, layouts) becomes an `Inert`. Names are checked: a value is made once,
before it is used, so a program cannot run in a circle.
Source of the layout: torch/_export/serde/schema.py, versions 8.x.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ....errors import FormatError, UnsupportedError
from ....graph.nodes import Dim
from ....strict_json import parse_value
from ..checkpoints.exported import SCALARS
from .parts import with_parts
from .paths import paths_of
from .refusals import why
from .strides import contiguous

MAJOR = 8
MOST_NODES = 20_000
MOST_GUARDS = 10_000
MOST_ARGUMENTS = 200_000         # of all nodes together, the members of lists counted
MAX_RANK = 64
_SYMBOL = re.compile(r"Symbol\('([A-Za-z_]\w{0,40})'(?:, \w+=True)*\)|([A-Za-z_]\w{0,40})")


@dataclass(frozen=True)
class Ref:
    """A value of the program by its name."""

    name: str


@dataclass(frozen=True)
class Scalar:
    """A torch.dtype as an argument, by NumPy's name ("bfloat16" for that one)."""

    dtype: str


@dataclass(frozen=True)
class Inert:
    """An argument that changes no number: a device, a layout, a memory format."""

    kind: str


Argument = Any


@dataclass(frozen=True)
class Meta:
    """What the program says of a tensor; a size that is no plain number or symbol is None.

    contiguous: whether its elements stand in memory in their order, with no gaps; None where that cannot be told.
    """

    dtype: str
    shape: tuple[Dim | None, ...]
    contiguous: bool | None = None


@dataclass(frozen=True, eq=False)
class Call:
    """One node: an operator applied to arguments by name."""

    name: str
    target: str
    arguments: dict[str, Argument]
    outputs: tuple[Argument, ...]        # Ref, None, or a list of Ref

    @property
    def label(self) -> str:
        return f"node {self.name!r:.100} ({self.target:.100})"


@dataclass(eq=False)
class Program:
    """A whole program. `weights` maps a value to the name of the tensor that it is."""

    inputs: list[str] = field(default_factory=list)          # those that the caller gives, tensors alone
    weights: dict[str, str] = field(default_factory=dict)
    nodes: list[Call] = field(default_factory=list)
    outputs: list[Argument] = field(default_factory=list)
    metas: dict[str, Meta] = field(default_factory=dict)
    sizes: dict[str, int | str | None] = field(default_factory=dict)     # symbolic ints: a number, a symbol, unknown
    ranges: dict[str, tuple[int | None, int | None]] = field(default_factory=dict)      # of symbols
    guards: list[str] = field(default_factory=list)          # conditions on sizes, as Python expressions
    paths: dict[str, str] = field(default_factory=dict)      # how guards write an input: "L['x']" -> its name
    torch_version: str = ""


def parse(tree: dict[str, Any]) -> Program:
    """The program in parsed JSON. Raises FormatError for what is not well formed, UnsupportedError by name."""
    version = _field(tree, "schema_version", dict, "the program")
    major = version.get("major")
    if type(major) is not int or major != MAJOR:
        raise UnsupportedError(f"the program is of schema version {major!r:.20}; version {MAJOR} is supported: "
                               "load and save it with torch 2.9 or later")
    module = _field(tree, "graph_module", dict, "the program")
    graph = with_parts(_field(module, "graph", dict, "graph_module"))
    program = Program(torch_version=str(tree.get("torch_version", ""))[:40])
    metas, sizes = (_field(graph, name, dict, "the graph") for name in ("tensor_values", "sym_int_values"))
    program.metas = {name: _meta(name, meta) for name, meta in metas.items()}
    program.sizes = {name: _size(size, name) for name, size in sizes.items()}
    given = [_argument(item, "the graph's inputs") for item in _field(graph, "inputs", list, "the graph")]
    known = _Names()
    for value in given:
        if isinstance(value, Ref):
            known.make(value.name, "the graph's inputs")
    signature = _field(module, "signature", dict, "graph_module")
    leaves = _inputs(program, given, _field(signature, "input_specs", list, "the signature"))
    nodes = _field(graph, "nodes", list, "the graph")
    if len(nodes) > MOST_NODES:
        raise UnsupportedError(f"the program has {len(nodes)} nodes; at most {MOST_NODES} are supported")
    for node in nodes:
        program.nodes.append(_node(node, known))
    results = [_argument(item, "the graph's outputs") for item in _field(graph, "outputs", list, "the graph")]
    for value in results:
        known.use(value, "the graph's outputs")
    _outputs(program, results, _field(signature, "output_specs", list, "the signature"))
    program.ranges = {name: _range(name, item) for name, item in
                      _field(tree, "range_constraints", dict, "the program").items()}
    program.guards = _guards(tree.get("guards_code", []))
    names, structure = _call(module)
    program.paths = paths_of(names, structure, leaves)
    return program


class _Names:
    """Which values exist so far, and how many arguments were read."""

    def __init__(self) -> None:
        self.made: set[str] = set()
        self.count = 0

    def make(self, name: str, who: str) -> None:
        if name in self.made:
            raise FormatError(f"{who}: value {name!r:.100} is made twice")
        self.made.add(name)

    def use(self, value: Argument, who: str) -> None:
        self.count += 1
        if self.count > MOST_ARGUMENTS:
            raise UnsupportedError(f"the program has more than {MOST_ARGUMENTS} arguments")
        if isinstance(value, list):
            for item in value:
                self.use(item, who)
        elif isinstance(value, Ref) and value.name not in self.made:
            raise FormatError(f"{who}: value {value.name!r:.100} is made by no earlier node and is no input")


def _fail(message: str) -> NoReturn:
    raise FormatError(f"model.json: {message}")


_JSON: dict[type, str] = {dict: "object", list: "array", str: "text"}


def _field(tree: Any, name: str, kind: type, where: str) -> Any:
    value = tree.get(name) if isinstance(tree, dict) else None
    if not isinstance(value, kind):
        _fail(f"{where:.100} must have {name!r}, a JSON {_JSON[kind]}")
    return value


def _node(node: Any, known: _Names) -> Call:
    target = _field(node, "target", str, "a node")
    if target.startswith("torch.ops.higher_order."):
        raise UnsupportedError(f"node {node.get('name')!r:.100} ({target:.100}): this operator is not supported"
                               f"{why(target)}")
    name = node.get("name") if isinstance(node.get("name"), str) else ""
    where = f"node {name!r:.100} ({target:.100})"
    arguments: dict[str, Argument] = {}
    for item in _field(node, "inputs", list, where):
        key = _field(item, "name", str, f"an input of {where}")
        if key in arguments:
            _fail(f"{where}: argument {key!r:.100} is given twice")
        arguments[key] = _argument(item.get("arg"), where)
        known.use(arguments[key], where)
    outputs = tuple(_argument(item, where) for item in _field(node, "outputs", list, where))
    for output in outputs:
        for value in output if isinstance(output, list) else [output]:
            if isinstance(value, Ref):
                known.make(value.name, where)
            elif value is not None:
                _fail(f"{where}: its outputs must be names")
    first = next((o.name for o in outputs if isinstance(o, Ref)), "")
    return Call(name or first, target, arguments, outputs)


def _inputs(program: Program, given: list[Argument], specs: list[Any]) -> list[str | None]:
    """What each input of the graph is: a weight, the caller's, or a plain constant. Gives the names of the caller's
    inputs, None for plain constants."""
    leaves: list[str | None] = []
    if len(given) != len(specs):
        _fail(f"{len(given)} inputs, {len(specs)} entries in input_specs")
    for value, spec in zip(given, specs):
        kind, body = _only(spec, "an entry of input_specs")
        if kind in _WEIGHTS:
            if not isinstance(value, Ref) or _argument_name(body) != value.name:
                _fail(f"an entry {kind!r} of input_specs does not name its input {value!r:.100}")
            program.weights[value.name] = _field(body, _WEIGHTS[kind], str, f"an entry {kind!r} of input_specs")
        elif kind == "user_input":
            if isinstance(value, Ref):
                if value.name not in program.metas:
                    raise UnsupportedError(f"input {value.name!r:.100} is no tensor; only tensors can be given")
                program.inputs.append(value.name)
                leaves.append(value.name)
                continue
            leaves.append(None)
            if value is not None and not isinstance(value, (bool, int, float, str)):
                raise UnsupportedError(f"an input that is {value!r:.60} is not supported")
        elif kind == "constant_input":
            leaves.append(None)
        else:
            raise UnsupportedError(f"an input of the kind {kind!r:.60} is not supported")
    return leaves


_WEIGHTS = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}


def _argument_name(body: Any) -> str:
    arg = body.get("arg") if isinstance(body, dict) else None
    return arg["name"] if isinstance(arg, dict) and isinstance(arg.get("name"), str) else ""


def _outputs(program: Program, results: list[Argument], specs: list[Any]) -> None:
    if len(results) != len(specs):
        _fail(f"{len(results)} outputs, {len(specs)} entries in output_specs")
    for value, spec in zip(results, specs):
        kind, body = _only(spec, "an entry of output_specs")
        if kind == "user_output":
            program.outputs.append(value)
        elif kind == "buffer_mutation":
            name = _field(body, "buffer_name", str, "an entry 'buffer_mutation' of output_specs")
            raise UnsupportedError(f"the program changes its buffer {name!r:.100} with each call, so its answers "
                                   "depend on the calls before; return the new state as an output, give it as an input")
        else:
            raise UnsupportedError(f"an output of the kind {kind!r:.60} is not supported: a converted model changes "
                                   "neither its inputs nor its weights")


def _call(module: dict[str, Any]) -> tuple[list[str], Any]:
    """The names of forward's arguments and the structure of its inputs, where the program keeps them."""
    for entry in _field(module, "module_call_graph", list, "graph_module"):
        if isinstance(entry, dict) and entry.get("fqn") == "" and isinstance(entry.get("signature"), dict):
            names, spec = entry["signature"].get("forward_arg_names"), entry["signature"].get("in_spec")
            if isinstance(names, list) and all(isinstance(name, str) for name in names) and isinstance(spec, str):
                listed = parse_value(spec, "in_spec")
                return names, listed[1] if isinstance(listed, list) and len(listed) == 2 else None
    return [], None


def _range(name: str, item: Any) -> tuple[int | None, int | None]:
    if not isinstance(item, dict) or not all(bound is None or type(bound) is int
                                             for bound in (item.get("min_val"), item.get("max_val"))):
        _fail(f"range_constraints of {name!r:.60} must hold min_val and max_val")
    return item.get("min_val"), item.get("max_val")


def _guards(items: Any) -> list[str]:
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items) or len(items) > MOST_GUARDS:
        _fail(f"guards_code must be at most {MOST_GUARDS} texts")
    return items


def _only(item: Any, where: str) -> tuple[str, Any]:
    if not isinstance(item, dict) or len(item) != 1:
        _fail(f"{where} must hold exactly one kind")
    (kind, body), = item.items()
    return kind, body


def _argument(item: Any, where: str) -> Argument:
    """A serialized argument as a Python value."""
    kind, body = _only(item, f"an argument of {where}")
    if kind == "as_none":
        return None
    if kind in ("as_tensor", "as_optional_tensor", "as_sym_int", "as_sym_bool", "as_sym_float"):
        return _one(kind, body, where)
    if kind in _LISTS:
        if not isinstance(body, list):
            _fail(f"{where}: {kind} must be a list")
        return [_one(_LISTS[kind], member, where) for member in body]
    if kind in _PLAIN:
        return _plain(kind, body, where)
    if kind == "as_scalar_type":
        if type(body) is not int or body not in SCALARS:
            raise UnsupportedError(f"{where}: the scalar type {body!r:.20} is not supported")
        return Scalar(SCALARS[body][0])
    if kind in ("as_device", "as_layout", "as_memory_format"):
        return Inert(kind)
    raise UnsupportedError(f"{where}: an argument of the kind {kind!r:.60} is not supported")


_PLAIN = {"as_int": int, "as_float": float, "as_bool": bool, "as_string": str}
_LISTS = {"as_tensors": "as_tensor", "as_optional_tensors": "as_optional_tensor", "as_ints": "as_int",
          "as_floats": "as_float", "as_bools": "as_bool", "as_strings": "as_string", "as_sym_ints": "as_sym_int"}


def _plain(kind: str, body: Any, where: str) -> Argument:
    wanted = _PLAIN[kind]
    if kind == "as_float" and isinstance(body, str) and body in ("Infinity", "-Infinity", "NaN"):
        return float(body)
    if kind == "as_float" and type(body) is int:
        return float(body)
    if type(body) is not wanted or (type(body) is int and not -2**63 <= body < 2**63):
        _fail(f"{where}: {kind} is {body!r:.60}")
    return body


def _one(kind: str, body: Any, where: str) -> Argument:
    if kind == "as_tensor":
        return Ref(_field(body, "name", str, f"a tensor of {where}"))
    if kind in _PLAIN:
        return _plain(kind, body, where)
    inner, value = _only(body, f"an argument of {where}")
    if inner == "as_none":
        return None
    if inner == "as_tensor":
        return Ref(_field(value, "name", str, f"a tensor of {where}"))
    if inner == "as_name" and isinstance(value, str):
        return Ref(value)
    if inner in _PLAIN:
        return _plain(inner, value, where)
    _fail(f"{where}: {kind} holds {inner!r:.60}")


def _size(item: Any, where: str) -> int | str | None:
    """A size: a number, a symbol, or None for an expression of symbols."""
    kind, body = _only(item, f"a size of {where!r:.100}")
    if kind == "as_int":
        if type(body) is not int or not -2**63 <= body < 2**63:
            _fail(f"a size of {where!r:.100} is {body!r:.60}")
        return body
    if kind != "as_expr":
        _fail(f"a size of {where!r:.100} is {kind!r:.60}")
    found = _SYMBOL.fullmatch(_field(body, "expr_str", str, f"a size of {where!r:.100}"))
    return (found[1] or found[2]) if found else None


def _meta(name: str, item: Any) -> Meta:
    sizes = _field(item, "sizes", list, f"tensor {name!r:.100}")
    code = item.get("dtype")
    if len(sizes) > MAX_RANK or type(code) is not int:
        _fail(f"tensor {name!r:.100} has {len(sizes)} axes and the scalar type {code!r:.20}")
    dtype = SCALARS[code][0] if code in SCALARS else f"scalar type {code}"
    shape = tuple(_size(size, name) for size in sizes)
    if any(isinstance(dim, int) and dim < 0 for dim in shape):
        _fail(f"tensor {name!r:.100} has a negative size")
    return Meta(dtype, shape, contiguous(sizes, item.get("strides")))
