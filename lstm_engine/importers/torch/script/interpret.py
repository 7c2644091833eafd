"""Goes through a script's code once, as data, and writes down the operators that it comes by: a `Program`.

What it decides by (ranks, sizes, None, settings) is known here; a tensor's numbers are not, and what would depend on
them is refused. Sizes of the inputs that are open stay open: where one decides, the way that raises an error is not
taken and its opposite becomes a condition of the program. Loops over constants are written out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ....errors import FormatError, UnsupportedError
from ..program.schema import Inert, Ref
from .archive import ROOT
from .attributes import Attributes
from .branches import harmless, only_names, raises
from .plain import CONTAINERS
from .tree import (
    Assign,
    Attribute,
    CallOf,
    Class,
    Constant,
    Function,
    If,
    Index,
    Loop,
    Name,
    Return,
    Run,
    Several,
    With,
)
from .values import AS_NUMBERS, Condition, Number, Object, Path, Record, Unknown, changes, shown, unknown

MAX_CALLS, MAX_TURNS = 48, 10_000
_TYPES: dict[str, Any] = {"Tensor": Ref, "List": list, "Tuple": tuple, "int": int, "float": float, "bool": bool,
                          "str": str, "NoneType": type(None)}
# What `with` may have around it: they are about gradients and profiles, not about numbers.
_CONTEXTS = ("__torch__.torch.autograd.grad_mode.", "__torch__.torch.autograd.profiler.")


@dataclass(eq=False)
class Interpreter(Attributes):
    """One run through the code of a module."""

    depth: int = 0

    # Functions and statements.

    def method(self, owner: Object, name: str, arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
        if name not in owner.kind.methods:
            self.fail(f"{owner.kind.name:.60} has no method {name!r:.60}")
        before, self.part = self.part, owner.path
        made = self.function(owner.kind.methods[name], (owner, *arguments), named, f"{owner.module}.{name}")
        self.part = before
        return made

    def function(self, function: Function, arguments: Sequence[Any], named: Mapping[str, Any], where: str) -> Any:
        parameters = function.parameters
        if len(arguments) > len(parameters) or set(named) - {parameter.name for parameter in parameters}:
            self.fail(f"{where:.100} is called with arguments that it does not have")
        values = dict(zip((parameter.name for parameter in parameters), arguments)) | dict(named)      # noqa: B905
        for parameter in parameters:
            if parameter.name not in values:
                if parameter.default is None:
                    self.fail(f"{where:.100} is called without {parameter.name!r:.60}")
                values[parameter.name] = self.value(parameter.default, {})
        self.depth += 1
        if self.depth > MAX_CALLS:
            self.fail(f"functions call each other more than {MAX_CALLS} deep")
        before, self.at = self.at, where.removeprefix(f"{ROOT}.")
        made = self.block(function.body, values)
        self.at = before
        self.depth -= 1
        return None if made is None else made[0]

    def block(self, body: Sequence[Any], scope: dict[str, Any]) -> tuple[Any] | None:
        """Run statements; (value,) of a return, None if there was none."""
        for statement in body:
            self.count()
            if isinstance(statement, Return):
                return (self.value(statement.value, scope),)
            done = self._statement(statement, scope)
            if done is not None:
                return done
        return None

    def _statement(self, statement: Any, scope: dict[str, Any]) -> tuple[Any] | None:
        if isinstance(statement, Assign):
            self._assign(statement, scope)
        elif isinstance(statement, Run):
            self.value(statement.value, scope)
        elif isinstance(statement, If):
            return self._if(statement, scope)
        elif isinstance(statement, Loop):
            return self._loop(statement, scope)
        elif isinstance(statement, With):
            if not isinstance(context := self.value(statement.value, scope), Inert):
                self.fail(f"with {shown(context)} in line {statement.line} is not supported")
            return self.block(statement.body, scope)
        return None

    def _assign(self, statement: Assign, scope: dict[str, Any]) -> None:
        first = statement.targets[0]
        self.hint = first.id if isinstance(first, Name) else first.name
        value = self.value(statement.value, scope)
        if isinstance(first, Attribute):
            owner = self.value(first.value, scope)
            if not isinstance(owner, Object):
                self.fail(f"an attribute {first.name!r:.60} of what is no module is assigned to")
            self.set(owner, first.name, value)
            return
        if not statement.many:
            scope[first.id] = value
            return
        if isinstance(value, Unknown):
            scope.update(dict.fromkeys((target.id for target in statement.targets), value))
            return
        values = list(self._items(value))
        if len(values) != len(statement.targets):
            raise FormatError(f"{self.at}, line {statement.line}: {len(values)} values for {len(statement.targets)} "
                              "names")
        scope.update(zip((target.id for target in statement.targets), values))      # noqa: B905

    def _if(self, statement: If, scope: dict[str, Any]) -> tuple[Any] | None:
        test = self.value(statement.test, scope)
        if isinstance(test, Condition) and only_names(statement.then) and only_names(statement.otherwise):
            self._join(test, statement, scope)
            return None
        return self.block(self._branch(test, statement), scope)

    def _branch(self, test: Any, statement: If) -> Sequence[Any]:
        if isinstance(test, bool):
            return statement.then if test else statement.otherwise
        if isinstance(test, Unknown):
            raise UnsupportedError(test.message)
        if not isinstance(test, Condition):
            self.fail(f"a branch in line {statement.line} depends on the numbers of a tensor, which a program as data "
                      "does not know; torch.where takes both sides")
        raising = [raises(body) for body in (statement.then, statement.otherwise)]
        if raising[0] == raising[1]:
            self.fail(f"a branch in line {statement.line} depends on a size of the inputs; {AS_NUMBERS}")
        self._hold(test if raising[1] else test.opposite(), statement.line)
        return statement.then if raising[1] else statement.otherwise

    def _join(self, test: Condition, statement: If, scope: dict[str, Any]) -> None:
        """Both ways of a branch on an open size that only finds out what is true of sizes: `a and b` is written so."""
        ways = []
        before = len(self.program.nodes)
        for body in (statement.then, statement.otherwise):
            inner = dict(scope)
            self.block(body, inner)
            ways.append({name: value for name, value in inner.items() if scope.get(name) is not value
                         or name not in scope})
        safe = all(harmless(call) for call in self.program.nodes[before:])
        for name in ways[0] | ways[1]:
            if not all(name in way or name in scope for way in ways):
                continue                                    # of one way alone: nothing behind it reads that
            one, other = (way.get(name, scope.get(name)) for way in ways)
            if not safe or not all(isinstance(value, (bool, Condition)) for value in (one, other)):
                self.fail(f"a branch in line {statement.line} depends on a size of the inputs; {AS_NUMBERS}")
            scope[name] = self.plain.do___or__(self.plain.do___and__(test, one),
                                               self.plain.do___and__(test.opposite(), other))

    def _hold(self, condition: Condition, line: int) -> None:
        """Make a condition on sizes one of the program."""
        text = f"line {line} of {self.at} does not raise an error"
        self.emit("_assert_scalar.default", {"self": self._truth(condition), "assert_msg": text}, (), "holds")

    def _truth(self, condition: Condition) -> Any:
        self.count()
        if condition.name in ("and", "or"):
            sides = {"self": self._truth(condition.left), "other": self._truth(condition.right)}
            return self.emit(f"logical_{condition.name}.default", sides, ("Tensor",), "holds")
        sides = {"a": condition.left, "b": condition.right}
        return self.emit(f"_operator.{condition.name}", sides, ("Tensor",), "holds")

    def _loop(self, loop: Loop, scope: dict[str, Any]) -> tuple[Any] | None:
        for count, item in enumerate(self._turns(loop, scope)):
            if count >= MAX_TURNS:
                self.fail(f"the loop in line {loop.line} has more than {MAX_TURNS} turns")
            if loop.target is not None:
                scope[loop.target] = item
            done = self.block(loop.body, scope)
            if done is not None:
                return done
        return None

    def _turns(self, loop: Loop, scope: dict[str, Any]) -> Iterator[Any]:
        if loop.target is not None:
            items = self.value(loop.value, scope)
            if isinstance(items, Ref):
                self.fail_of_size(f"the loop in line {loop.line} has as many turns as")
            yield from items if isinstance(items, range) else self._items(items)
            return
        while True:
            test = self.value(loop.value, scope)
            if not isinstance(test, bool):
                self.fail(f"whether the loop in line {loop.line} goes on depends on the inputs, which is not supported")
            if not test:
                return
            yield None

    def _items(self, value: Any) -> Sequence[Any]:
        if isinstance(value, Unknown):
            raise UnsupportedError(value.message)
        if isinstance(value, Record):
            return value.values
        if isinstance(value, (tuple, list)):
            return value
        if isinstance(value, dict):
            return list(value)
        self.fail(f"{shown(value)} is no tuple or list")

    # Expressions.

    def value(self, tree: Any, scope: Mapping[str, Any]) -> Any:
        self.count()
        if isinstance(tree, Constant):
            return tree.value
        if isinstance(tree, Name):
            if tree.id in scope:
                return scope[tree.id]
            return Path(tree.id)
        if isinstance(tree, Several):
            items = [self.value(item, scope) for item in tree.items]
            if tree.kind == "{}":
                return dict(zip(items[::2], items[1::2], strict=True))
            return tuple(items) if tree.kind == "()" else items
        if isinstance(tree, Attribute):
            return self._attribute(self.value(tree.value, scope), tree.name)
        if isinstance(tree, Index):
            if isinstance(tree.value, Name) and tree.value.id not in scope:
                return Path(tree.value.id)                  # Optional[Tensor], a type
            held: Any = self.value(tree.value, scope)
            at = [self.value(item, scope) for item in tree.items]
            if len(at) != 1:
                self.fail("an index of several numbers is not supported")
            if isinstance(held, Unknown):
                return held
            return self.plain.call("__getitem__", [held if isinstance(held, dict) else self._items(held), at[0]])
        if isinstance(tree, CallOf):
            return self._call(tree, scope)
        self.fail(f"{type(tree).__name__} is not supported here")

    def _attribute(self, owner: Any, name: str) -> Any:
        if isinstance(owner, Path):
            if owner.name == "CONSTANTS":
                return self.constant(name)
            return Path(f"{owner.name}.{name}")
        if isinstance(owner, Record) and name in owner.names:
            return owner.values[owner.names.index(name)]
        if isinstance(owner, Object):
            return self.held(owner, name)
        if isinstance(owner, Unknown):
            return owner
        if isinstance(owner, Ref) and name in ("shape", "dtype", "device"):
            return self.asked(name, owner)
        self.fail(f"{shown(owner)} has no attribute {name!r:.60}")

    # Calls.

    def _call(self, tree: CallOf, scope: Mapping[str, Any]) -> Any:
        hint = self.hint
        if isinstance(tree.function, Name) and tree.function.id not in scope:
            word = tree.function.id
            if word in ("unchecked_cast", "annotate"):
                return self._unwrapped(self.value(tree.arguments[1], scope), tree.arguments[0])
            if word == "uninitialized":
                return Unknown(f"{self.at}, line {tree.line}: a value is used that is not set there")
            if word == "isinstance" and len(tree.arguments) == 2:
                return self._is_of(self.value(tree.arguments[0], scope), tree.arguments[1])
        if isinstance(tree.function, Attribute):
            owner = self.value(tree.function.value, scope)
            if isinstance(owner, Object):
                return self.method(owner, tree.function.name, [self.value(item, scope) for item in tree.arguments],
                                   {name: self.value(item, scope) for name, item in tree.named.items()})
            if isinstance(owner, Inert) and tree.function.name == "__init__":
                return None                         # of a context (`_CONTEXTS`)
            function = self._attribute(owner, tree.function.name)
        else:
            function = self.value(tree.function, scope)
        arguments = [self.value(item, scope) for item in tree.arguments]
        named = {name: self.value(item, scope) for name, item in tree.named.items()}
        if not isinstance(function, Path):
            self.fail(f"{shown(function)} is called, which is no function")
        self.hint = hint
        if not function.name.startswith(f"{ROOT}."):
            held = bool(arguments) and isinstance(arguments[0], (list, dict))
            ours = held and function.name.removeprefix("torch.") in CONTAINERS      # looks into no item
            odd = next(unknown([*arguments[ours:], *named.values()], self.count), None)
            if odd is not None and not function.name.endswith("RaiseException"):
                if not changes(function.name):
                    return odd
                if arguments and arguments[0] is odd:
                    raise UnsupportedError(odd.message)
        return self._named(function.name, arguments, named, tree.line)

    def _is_of(self, value: Any, type_: Any) -> bool:
        """Whether a value is of a type: Tensor, or a list or a tuple of whatever."""
        if isinstance(value, Unknown):
            raise UnsupportedError(value.message)
        if isinstance(type_, Several):
            return any(self._is_of(value, one) for one in type_.items)
        name = type_.value if isinstance(type_, Index) else type_
        if not isinstance(name, Name) or name.id not in _TYPES:
            self.fail("a type that is asked for is not supported")
        if name.id == "Tensor":
            return self.is_tensor(value) or isinstance(value, Number)
        if name.id == "int":
            return type(value) is int or self.is_size(value)
        if not isinstance(value, _TYPES[name.id]) or not isinstance(type_, Index):
            return isinstance(value, _TYPES[name.id])
        if not value:
            self.fail("of what type an empty list or tuple is, is not known")
        kinds = type_.items * len(value) if name.id == "List" else type_.items
        return len(kinds) == len(value) and all(map(self._is_of, value, kinds))

    def _named(self, name: str, arguments: list[Any], named: dict[str, Any], line: int) -> Any:
        if name.startswith(_CONTEXTS) and name.endswith((".__new__", ".__init__")):
            return Inert("context")
        if name.startswith(f"{ROOT}."):
            if name in self.script.functions:
                return self.function(self.script.functions[name], arguments, named, name)
            if name in self.script.classes:
                return self._record(self.script.classes[name], arguments, named)
            self.fail(f"{name:.100} is not written in the archive")
        if name == "ops.prim.RaiseException":
            text = arguments[0] if arguments and isinstance(arguments[0], str) else "(with values in its text)"
            self.fail(f"it raises an error: {text:.200}")
        if name in ("int", "float", "bool", "range", "getattr", "str", "sorted"):
            return self._python(name, arguments)
        if name == "print":
            return None
        space, _, word = name.rpartition(".")
        if space == "ops.prim" and not named:
            return self.asked(word, *arguments)
        if space != "torch":
            self.fail(f"{name:.100} is not supported")
        if word == "device":
            return Inert("a device by its name")
        return self.torch(word, arguments, named, line)

    def _record(self, kind: Class, arguments: list[Any], named: dict[str, Any]) -> Any:
        if kind.base != "NamedTuple":
            self.fail(f"an object of {kind.name:.60} is made, which is not supported")
        names = tuple(kind.fields)
        values = dict(zip(names, arguments)) | named        # noqa: B905
        if set(values) != set(names):
            self.fail(f"{kind.name:.60} is made without all of its fields")
        return Record(names, tuple(values[one] for one in names))

    def _python(self, word: str, arguments: list[Any]) -> Any:
        if word == "getattr" and len(arguments) == 2 and isinstance(arguments[1], str):
            return self._attribute(arguments[0], arguments[1])
        if word == "range":
            if not 1 <= len(arguments) <= 3 or not all(type(one) is int for one in arguments):
                return next((one for one in arguments if isinstance(one, Ref)), None) or self.fail(
                    "a range of what are no numbers")
            if len(arguments) == 3 and not arguments[2]:
                self.fail("a range with a step of 0")
            return range(*arguments)
        if word == "sorted":
            return self.plain.call(word, arguments)
        if len(arguments) != 1:
            self.fail(f"{word} of {len(arguments)} values")
        value = self.number(arguments[0])
        if isinstance(value, Ref) and word == "int" and self.is_size(value):
            return value
        if isinstance(value, (Ref, Condition)):
            if word == "bool" and isinstance(value, Condition):
                return value
            self.fail(f"{word}() of a tensor whose numbers are not known is not supported")
        if isinstance(value, str) and word == "float" and value in ("inf", "-inf", "nan"):
            return float(value)
        if type(value) not in (bool, int, float):
            self.fail(f"{word}() of {shown(value)} is not supported")
        if word == "int" and not -2**63 <= value < 2**63:
            self.fail(f"int() of {value} is beyond 64 bits")
        return {"int": int, "float": float, "bool": bool, "str": str}[word](value)

    def _unwrapped(self, value: Any, type_: Any) -> Any:
        if isinstance(value, Number) and isinstance(type_, Name) and type_.id in ("int", "number", "Scalar", "float"):
            return value.value
        return value
