"""TorchScript archives as programs: their code is read as data, written out, and goes the way of exported programs.

    language    the text -> classes and functions, checked
    archive     an archive -> its object, constants and code
    schemas     which operator a call means, and its arguments by name (operators.txt: make_torch_schemas.py)
    plain       what is made of numbers, texts and lists
    branches    what the statements of a branch do, where an open size decides
    signature   what goes into its methods; draft: what is told of shapes, for a spec that a user looks through
    attributes  what its modules hold, and what calls change of it
    operators   the calls, written into the program (packed: those of packed sequences)
    interpret   once through the code -> a `Program`
    then        importers.torch.program
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np

from ....errors import ArgumentError, ArgumentTypeError, FormatError, LstmEngineError, UnsupportedError
from ....files import ModelFile, cannot_read, open_regular, size_of
from ....graph import DTYPES, Graph
from ...base import ImportOptions, are
from ...onnx.mapping.to_graph import to_graph
from ...reading.spec_file import load_spec
from ...reading.zip_archive import Archive
from ..checkpoints.zipped import stem_of
from ..program import weight_array
from ..program.convert import Writer, written
from ..program.schema import Call, Meta, Program, Ref
from .archive import Script, read_script
from .draft import Draft, drafted
from .interpret import Interpreter
from .signature import tensors_of
from .tree import Index, Name, Parameter
from .values import Changes, Object, Record, State, Unknown

KEYS = ("shapes", "dtypes", "fixed", "method", "notes")
MAX_STATES = 64


def is_script(archive: Archive, stem: str) -> bool:
    return any(name.startswith(f"{stem}/code/") for name in archive.records)


def speaks_of_programs(spec: Any) -> bool:
    """Whether a spec says what goes into a program, and not what layers there are."""
    return isinstance(spec, Mapping) and set(spec) <= set(KEYS) and not set(spec) <= {"notes"}


def read_program(path: ModelFile, options: ImportOptions) -> Graph | None:
    """The graph of a TorchScript archive whose inputs the spec describes; None for any other file or spec.

    spec: {"shapes": {input: [sizes]}}, a name for each open size, of all tensors that forward takes; "dtypes":
    {input: dtype} of those that are no float32; "fixed": {input: number} of inputs that are no tensors; "method": in
    place of forward, or "part.forward" of a module in it. Raises FileError, FormatError, UnsupportedError naming the
    line of the code, ArgumentError.
    """
    spec = None if options.spec is None else load_spec(options.spec)
    if not speaks_of_programs(spec):
        return None
    assert isinstance(spec, Mapping)
    if given := options.readings():
        raise ArgumentError(f"{are(given)} for sources that hold weights alone; a program says itself what it computes")
    try:
        with open_regular(path) as file:
            if file.read(4) != b"PK\x03\x04":
                return None
            archive = Archive(file, size_of(file))
            stem = stem_of(archive)
            return _graph(read_script(archive, stem), spec) if stem is not None and is_script(archive, stem) else None
    except OSError as error:
        cannot_read(path, error)
    except RecursionError as error:
        raise FormatError(f"{path}: its code is nested too deeply") from error
    except (FormatError, UnsupportedError) as error:
        raise type(error)(f"{path}: {error}") from error


class NoForwardError(UnsupportedError):
    """A module that has several methods, and none of them is forward."""


def inputs_wanted(path: ModelFile) -> str:
    """The spec that a TorchScript archive wants, to be looked through; "" where its code cannot be read."""
    try:
        spec = propose(path)
    except NoForwardError as error:
        return f"spec={{'method': ..., 'shapes': {{...}}}}, for {error}"
    except (OSError, FormatError, UnsupportedError, RecursionError):
        return ""
    return f"spec={ {name: value for name, value in spec.items() if name != 'notes'} }"


def propose(path: ModelFile) -> dict[str, Any]:
    """A spec of the inputs of an archive's `forward`, or of the only other method that takes tensors; its "notes" say
    what to look at. Raises FileError, FormatError, UnsupportedError."""
    with open_regular(path) as file:
        archive = Archive(file, size_of(file))
        stem = stem_of(archive)
        if stem is None:
            raise FormatError(f"{path}: no archive of torch")
        script = read_script(archive, stem)
        root = Object("", script.root, script.class_of(script.root), str(script.root.symbol))
        methods = [name for name, function in root.kind.methods.items()
                   if any(True for parameter in function.parameters[1:] for _ in tensors_of(parameter))]
        method = "forward" if "forward" in root.kind.methods or len(methods) != 1 else methods[0]
        if method not in root.kind.methods:
            raise NoForwardError(f"{path}: its module has no forward; of its methods {', '.join(methods) or 'none'} "
                                   "take tensors: give one by its name, spec={'method': ..., 'shapes': ...}")
        return _tried(script, drafted(script, root, method), method)


def _tried(script: Script, draft: Draft, method: str) -> dict[str, Any]:
    """The first of the guesses with which the program can be written, else the likeliest one; with what to look at."""
    notes = [f"{name!r:.60} is {_of(kind)}: put its value in the place of null" for name, kind in draft.fixed.items()]
    if draft.optional:
        notes.append(f"left out are {', '.join(draft.optional)}, which the program has other values for")
    if draft.unknown:
        notes.append(f"no weights say the shapes of {', '.join(draft.unknown)}: how many axes, of which sizes "
                     "and type, are guesses")
    said, first, spec = "", None, {}
    for spec in draft.guesses():
        if method != "forward":
            spec["method"] = method
        first = first or spec
        try:
            _graph(script, spec)
            said = ("a draft: shapes with which the program can be written; \"features\", \"axis\" and open sizes are "
                    "names of ours, and a size that is the same number at every call may be given as that")
            break
        except LstmEngineError as error:
            said = said or f"a draft, to be corrected: {error}"
    else:
        spec = first or {}
    return spec | {"notes": [said, *notes]}


def _of(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}" if kind != "no tensor" else kind


def _graph(script: Script, spec: Mapping[str, Any]) -> Graph:
    states: list[State] = []
    while True:
        try:
            program, literals = _program(script, spec, states)
            break
        except Changes as changed:
            if len(states) >= MAX_STATES:
                raise UnsupportedError(f"calls change more than {MAX_STATES} tensors, {changed.state.path!r:.100} "
                                       "among them") from changed
            states.append(changed.state)
    graph = to_graph(written(program, _loader(script, literals)), ImportOptions())
    metadata = {name: text for name, text in graph.metadata.items() if name != "source"}
    return replace(graph, metadata=metadata | {"program": "TorchScript"})


def _program(script: Script, spec: Mapping[str, Any], states: Sequence[State]
             ) -> tuple[Program, Mapping[str, np.ndarray]]:
    """The program that one run through the code writes, and the arrays that are written out in it, by name; states:
    tensors that it changes, which become inputs and outputs. Raises Changes at one more."""
    program = Program()
    arrays: dict[str, np.ndarray] = {}
    run = Interpreter(script, Writer(program, _loader(script, arrays)), program, arrays=arrays)
    root = Object("", script.root, script.class_of(script.root), str(script.root.symbol))
    root, name = _method(run, root, spec.get("method", "forward"))
    arguments = _arguments(run, root.kind.methods[name].parameters[1:], spec)
    called = [_state(run, state) for state in states]
    made = list(_leaves(run, run.method(root, name, arguments, {})))
    names = ["output"] if len(made) == 1 else [f"output_{at}" for at in range(len(made))]
    made += run.finals().values()
    names += [f"{name}_out" for name in called]
    program.outputs = [_output(run, value, run.names.unused(called)) for value, called in zip(made, names, strict=True)]
    return program, arrays


def _loader(script: Script, arrays: Mapping[str, np.ndarray]) -> Callable[[str], np.ndarray]:
    """The numbers of a tensor of the archive by its id, and of one that the code writes out by its name."""
    return lambda name: arrays[name] if name in arrays else weight_array(script.entries[int(name)])


def _method(run: Interpreter, owner: Object, path: Any) -> tuple[Object, str]:
    """The module and the name of a method by its path: "forward", "encoder.forward"."""
    *parts, name = str(path).split(".")
    for part in parts:
        inner = run.held(owner, part)
        if not isinstance(inner, Object):
            raise ArgumentError(f"spec method {path!r:.60}: {part!r:.60} is no module")
        owner = inner
    if name not in owner.kind.methods:
        raise ArgumentError(f"spec method {path!r:.60}: the module has {', '.join(owner.kind.methods) or 'none'}")
    return owner, name


def _arguments(run: Interpreter, parameters: tuple[Parameter, ...], spec: Mapping[str, Any]) -> list[Any]:
    for key in ("shapes", "dtypes", "fixed"):
        if not isinstance(spec.get(key, {}), Mapping):
            raise ArgumentTypeError(f"spec {key!r} must be a mapping by the names of inputs")
    shapes, dtypes, fixed = (dict(spec.get(key, {})) for key in ("shapes", "dtypes", "fixed"))
    known = [name for parameter in parameters for name, _ in tensors_of(parameter)]
    if unknown := [*(set(shapes) | set(dtypes)) - set(known), *set(fixed) - {p.name for p in parameters}]:
        raise ArgumentError(f"spec names {min(map(str, unknown))!r:.60}; the inputs are "
                            f"{', '.join(p.name for p in parameters) or 'none'}")
    made = []
    for parameter in parameters:
        names = [name for name, _ in tensors_of(parameter)]
        if parameter.name in fixed:
            made.append(_number(parameter, fixed[parameter.name]))
        elif names and all(name in shapes for name in names):
            values = [_input(run, name, shapes[name], dtypes.get(name, "float32")) for name in names]
            made.append(values[0] if names == [parameter.name] else tuple(values))
        elif parameter.default is not None and not any(name in shapes for name in names):
            made.append(run.value(parameter.default, {}))
        else:
            _missing(parameter, [name for name in names if name not in shapes])
    return made


def _missing(parameter: Parameter, names: list[str]) -> NoReturn:
    if names:
        raise ArgumentError("TorchScript does not say the shapes of its inputs; say them, with a name for each open "
                            f"size: spec={{'shapes': {{{names[0]!r}: ['batch', 'time', 8], ...}}}}, and 'dtypes' "
                            f"{{{names[0]!r}: 'int64'}} where they are no float32")
    if isinstance(parameter.type, Index) and isinstance(parameter.type.value, Name) and (
            parameter.type.value.id in ("List", "Dict")):
        raise UnsupportedError(f"the input {parameter.name!r:.60} is a list or dict; supported: tensors, tuples of "
                               "them, numbers and texts")
    raise ArgumentError(f"the input {parameter.name!r:.60} is no tensor; give it a value: "
                        f"spec={{'fixed': {{{parameter.name!r:.60}: ...}}}}")


def _number(parameter: Parameter, value: Any) -> Any:
    if value is not None and type(value) not in (bool, int, float, str):
        raise ArgumentTypeError(f"spec fixed {parameter.name!r:.60} must be a number, text or None, got {value!r:.60}")
    if value is None and isinstance(parameter.type, Name) and parameter.type.id != "NoneType":
        raise ArgumentError(f"spec fixed {parameter.name!r:.60} is null, where the program takes {parameter.type.id}")
    return float(value) if isinstance(parameter.type, Name) and parameter.type.id == "float" and type(value) is int \
        else value


def _input(run: Interpreter, name: str, shape: Any, dtype: Any) -> Ref:
    if not isinstance(shape, (list, tuple)) or not all(type(size) is int and size >= 0 or isinstance(size, str) and size
                                                       for size in shape):
        raise ArgumentError(f"spec shapes of {name!r:.60} must be sizes, numbers or names, got {shape!r:.80}")
    if dtype not in DTYPES:
        raise ArgumentError(f"spec dtypes of {name!r:.60} must be one of {', '.join(DTYPES)}, got {dtype!r:.60}")
    run.names.reserve(name)
    run.program.metas[name] = Meta(dtype, tuple(shape))
    run.program.inputs.append(name)
    run.writer.input(name)
    return Ref(name)


def _state(run: Interpreter, state: State) -> str:
    """A tensor that calls change, as an input, whose name is given back; what is changed is a copy of it."""
    array = weight_array(run.script.entries[id(state.stored)])
    if np.any(array):
        raise UnsupportedError(f"the state {state.path!r:.100}, which calls change, begins with other numbers than "
                               "zeros")
    given = _input(run, run.names.unused(state.path.replace(".", "_")), list(array.shape), array.dtype.name)
    run.hint = f"{given.name}_before"
    run.begin(state, run.emit("clone.default", {"self": given}, ("Tensor",), given.name))
    return given.name


def _leaves(run: Interpreter, value: Any) -> Iterator[Any]:
    run.count()
    if isinstance(value, Record):
        value = value.values
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(run, item)
    elif value is not None:
        yield value


def _output(run: Interpreter, value: Any, name: str) -> Ref:
    if isinstance(value, Unknown):
        raise UnsupportedError(value.message)
    if not run.is_tensor(value):
        raise UnsupportedError("an output that is no tensor is not supported")
    run.hint = name
    call = Call(name, "torch.ops.aten.alias.default", {"self": value}, (Ref(name),))
    run.program.nodes.append(call)
    run.writer.node(len(run.program.nodes) - 1, call)
    return Ref(name)


__all__ = ["inputs_wanted", "is_script", "propose", "read_program", "speaks_of_programs"]
