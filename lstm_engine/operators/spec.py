"""The registry of ONNX operators that may surround the recurrent core: one `OperatorSpec` for each.

An `Operator` node has ONNX's meaning as of opset 21, or of the later one that has it first; importers bring older forms
to it (`older`), and what ONNX Runtime puts in place of several (`microsoft`). Four departures keep every array a
constant input and every attribute plain data: ConstantOfShape takes its fill value (one element) as a second input;
Cast's `to` is ONNX's data type number and `saturate` is unknown; BatchNormalization is inference only; If takes the
values that its branches make (`choosing`).

All that is known of an operator is said where it is declared, in the file of its family, and asked here: no other file
repeats it, or lists operators by name; where one means a single operator, or a pattern of some, it names them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from ..errors import GraphError, UnsupportedError
from ..graph.nodes import Operator, Value
from .axis_rules import AxisRule, elementwise_axes
from .costs import Arrays, Grown, Need, Needs, need_of
from .families import OPERATORS
from .kernels import Kernel, KernelMaker
from .older import FORMS, OlderForm
from .past import PastRule
from .shape_rules import ANY, ShapeRule, infer, same

REQUIRED = object()     # the default of an attribute that has none


@dataclass(frozen=True)
class Attribute:
    """An attribute: its type, its default, and the values that are supported, () for all.

    says_type: whether it is the number of the type of what the operator makes. item: the type of what is in a tuple.
    """

    kind: type
    default: Any = REQUIRED
    choices: tuple[Any, ...] = ()
    says_type: bool = False
    item: type = int

    def takes(self, value: Any) -> bool:
        """Whether a value is of the right type."""
        if self.kind is tuple:
            return isinstance(value, tuple) and all(type(v) is self.item for v in value)
        return type(value) in (float, int) if self.kind is float else type(value) is self.kind


def one_of(default: Any, *others: Any) -> Attribute:
    """An attribute of which these values are supported."""
    return Attribute(type(default), default, (default, *others))


@dataclass(frozen=True, kw_only=True)
class OperatorSpec:
    """All that is known of one operator.

    domain: of whose operators it is one, "" for ONNX's own. inputs, outputs: how many at least and at most. shape: the
    shapes of its outputs (`shape_rules`). make: its NumPy kernel, with how it is repeated on arrays that stay in place
    (`kernels`).

    axes: where an axis of its inputs stands in its outputs, if it works on every place of that axis by itself
    (`axis_rules`); without it, none is known to stay apart. counts: the same where inputs are sizes (`counts`).
    past: what it does along an axis that its `axes` does not let through, where that can be done in pieces (`past`).
    elementwise: each element of the result is made of those elements of the inputs that broadcasting puts there.
    meets: inputs near its constants tell one result from another: what is added, scaled, compared with or clipped at.
    in_order: it keeps the elements and their order, so a result of the input's shape is the input.
    exact: it moves, chooses, compares or jumps: of the same bits it makes the same numbers, in any precision.
    view: whether its result shows the memory of its first input ("perhaps": as its inputs and attributes have it).
    of_shapes: the shapes of its inputs say everything.
    moves: the inputs whose elements it moves about, whatever they are; ANY: all of them.
    symbolic: what it makes of elements that are sizes: ints, symbols, None where nothing is known.
    activation: the activation of the house that it is, then the attributes that are its alpha and beta.
    takes: the types of each input, in the words of `shape_rules.TYPES`, those of the last for all behind it; () for
    any: ONNX's own, beyond which NumPy would make numbers of something that nobody has defined.
    apart: a letter for the type of each input, where ONNX does not have one type for those of which `takes` says the
    same.
    low_bits: of whole numbers, the low bits of its first result are what it would be of fewer bits.
    chooses: its result is its input 1 or 2, as input 0 says, and only that one need be there (`choosing`).

    work, scratch: nanoseconds an element, where that is not about 1; arrays of float64 of the result's size that are
    made on the way. combines: it makes more than its inputs have also where those are all of one shape. grown: how many
    elements it makes, for results of any size.
    sized_by: the inputs whose numbers say what shape the result has. needs: bytes and work where the above does not
    tell (`costs`).
    """

    name: str
    inputs: tuple[int, int]
    outputs: tuple[int, int]
    attributes: Mapping[str, Attribute]
    make: KernelMaker
    domain: str = ""
    shape: ShapeRule = same
    axes: AxisRule | None = None
    counts: AxisRule | None = None
    past: PastRule | None = None
    elementwise: bool = False
    meets: bool = False
    exact: bool = False
    in_order: bool = False
    view: Literal["", "perhaps", "always"] = ""
    of_shapes: bool = False
    moves: tuple[int, ...] | int = ()
    symbolic: Callable[..., Any] | None = None
    activation: tuple[str, ...] = ()
    chooses: bool = False
    takes: tuple[str, ...] = ()
    apart: str = ""
    low_bits: bool = False
    work: int = 1
    scratch: int = 0
    combines: bool = False
    grown: Grown | None = None
    sized_by: tuple[int, ...] = ()
    needs: Needs | None = None

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """What attributes are that a node leaves out."""
        return {name: attribute.default for name, attribute in self.attributes.items()}

    @property
    def variables(self) -> Sequence[str]:
        """For each input what it has in common with those of its type; the last for all behind it."""
        return self.apart or self.takes or ("any",)

    def need_for(self, attributes: dict[str, Any], arrays: Arrays, made: Sequence[Value]) -> Need:
        """What it takes to make these results of these inputs. made: not looked at where `grown` tells."""
        if self.grown is not None:
            count, itemsize = self.grown(attributes, arrays)
            return Need(count * (itemsize + 8 * self.scratch), count * self.work)
        if self.needs is not None:
            return self.needs(attributes, arrays, made)
        return need_of(arrays, made, self.work, self.scratch)

    def moves_only(self, position: int) -> bool:
        """Whether the elements of an input are only moved about."""
        return position in self.moves if isinstance(self.moves, tuple) else self.moves == ANY


def declare(name: str, inputs: int | tuple[int, int], outputs: int | tuple[int, int] = 1, *,
            kernel: Kernel | None = None, make: KernelMaker | None = None,
            attributes: Mapping[str, Any] | None = None, older: OlderForm | None = None, **traits: Any) -> None:
    """Put an operator into the registry. traits: those of `OperatorSpec`.

    kernel: one that needs neither attributes nor constants, in place of `make`. attributes: an `Attribute` each, or a
    default, which says the type. older: what brings the forms of older opsets to this one. An elementwise operator
    keeps axes apart unless it says otherwise.
    """
    if (kernel is None) == (make is None):
        raise ValueError(f"{name}: declared with not one of kernel and make")
    if older is not None:
        FORMS.add(name, older)
    if isinstance(takes := traits.get("takes"), str):
        traits["takes"] = (takes,)
    if traits.get("elementwise"):
        traits.setdefault("axes", elementwise_axes)
    written = {key: value if isinstance(value, Attribute) else Attribute(type(value), value)
               for key, value in (attributes or {}).items()}
    OPERATORS.add(name, OperatorSpec(name=name, inputs=_span(inputs), outputs=_span(outputs), attributes=written,
                                     make=make or _always(kernel), **traits))       # type: ignore[arg-type]


def _span(count: int | tuple[int, int]) -> tuple[int, int]:
    return (count, count) if isinstance(count, int) else count


def _always(kernel: Kernel) -> KernelMaker:
    return lambda attributes, node: kernel


def supported_operators() -> str:
    """The names of the registry, for messages."""
    return ", ".join(sorted(OPERATORS))


def operator_attributes(node: Operator) -> dict[str, Any]:
    """The attributes of `node` with the defaults filled in.

    Raises UnsupportedError for an operator, attribute or choice that is not in the registry, GraphError for a
    missing attribute, one of a wrong type, or a wrong number of inputs or outputs.
    """
    if node.op_type not in OPERATORS:
        raise UnsupportedError(f"node {node.name!r}: operator {node.op_type!r} is not supported; "
                               f"supported around the recurrent layers: {supported_operators()}")
    spec = OPERATORS[node.op_type]
    _check_count(node, "inputs", node.inputs, *spec.inputs)
    _check_count(node, "outputs", node.outputs, *spec.outputs)
    for i in range(spec.inputs[0]):
        if not node.inputs[i] and i not in node.constants:
            raise GraphError(f"{_label(node)}: input {i} is missing")
    resolved = spec.defaults.copy()
    for name, value in node.attributes.items():
        if name not in resolved:
            raise UnsupportedError(f"{_label(node)}: attribute {name!r} is not supported; "
                                   f"supported: {', '.join(spec.attributes) or 'none'}")
        attribute = spec.attributes[name]
        if not attribute.takes(value):
            raise GraphError(f"{_label(node)}: attribute {name!r} has the wrong type: {value!r}")
        if attribute.choices and value not in attribute.choices:
            raise UnsupportedError(f"{_label(node)}: attribute {name!r} = {value!r} is not supported; "
                                   f"supported: {', '.join(map(str, attribute.choices))}")
        resolved[name] = value
    for name, value in resolved.items():
        if value is REQUIRED:
            raise GraphError(f"{_label(node)}: attribute {name!r} is missing")
    return resolved


def _check_count(node: Operator, what: str, names: Sequence[str], least: int, most: int) -> None:
    if not least <= len(names) <= most:
        expected = str(least) if least == most else f"{least} to {most}" if most != ANY else f"at least {least}"
        raise GraphError(f"{_label(node)} takes {expected} {what}, not {len(names)}")


def _label(node: Operator) -> str:
    return f"node {node.name!r} ({node.op_type})"


def operator_shapes(node: Operator, inputs: Sequence[Value | None], attributes: dict[str, Any] | None = None
                    ) -> list[Value]:
    """The outputs of `node` with symbolic shapes.

    inputs: one per position of `node.inputs`, None where it is left out or a constant. attributes: what
    `operator_attributes` gave, where it was asked already. A size that is not known before the run gets a symbol made
    from the output's name and axis ("y_1").
    Raises what `operator_attributes` raises, GraphError where shapes cannot fit, UnsupportedError where not
    even the rank is known before the run.
    """
    attributes = operator_attributes(node) if attributes is None else attributes
    spec = OPERATORS[node.op_type]
    return infer(spec.shape, spec.takes, node, attributes, inputs)
