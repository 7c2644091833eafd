"""What the modules of a script hold: settings, tensors, modules inside; and what a call changes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ....errors import FormatError
from ..checkpoints.symbols import Instance
from ..checkpoints.symbols import Tensor as Stored
from ..program.schema import Ref
from .operators import Operators
from .plain import HeldDict, HeldList
from .values import Changes, Object, shown


@dataclass(eq=False)
class Attributes(Operators):
    weights: dict[int, Ref] = field(default_factory=dict)           # by the id of a tensor of the archive
    changed: dict[tuple[int, str], Any] = field(default_factory=dict)       # attributes that were set

    def value(self, tree: Any, scope: Mapping[str, Any]) -> Any:
        """An expression of the code: the classes write their constants so."""
        raise NotImplementedError

    def set(self, owner: Object, name: str, value: Any) -> None:
        path = f"{owner.path}.{name}" if owner.path else name
        held = owner.instance.state.get(name) if isinstance(owner.instance.state, dict) else None
        if isinstance(held, Stored) and path not in self.states:
            raise Changes(path)
        if not isinstance(held, Stored):
            self.fail(f"it changes its own attribute {path!r:.100}, which the next call would read; supported: tensors "
                      "that it keeps from call to call")
        self.changed[id(owner.instance), name] = value

    def held(self, owner: Object, name: str) -> Any:
        """An attribute of a module: what the archive holds, or what its class says it is."""
        key = id(owner.instance), name
        if key in self.changed:
            return self.changed[key]
        state = owner.instance.state
        if not isinstance(state, dict):
            raise FormatError(f"the module {owner.path!r:.100} has no attributes")
        if name in state:
            return self._taken(state[name], f"{owner.path}.{name}" if owner.path else name)
        _, value = owner.kind.fields.get(name, (None, None))
        if value is not None:
            return self.value(value, {})
        self.fail(f"the module {owner.path or owner.kind.name!r:.100} has no attribute {name!r:.60}")

    def _taken(self, value: Any, path: str) -> Any:
        """A value of the archive as one of the program."""
        self.count()
        if isinstance(value, Stored):
            return self._weight(value, path)
        if isinstance(value, Instance):
            return Object(path, value, self.script.class_of(value), str(value.symbol))
        if isinstance(value, (list, tuple)):
            made = [self._taken(item, f"{path}.{at}") for at, item in enumerate(value)]
            return HeldList(made) if isinstance(value, list) else tuple(made)
        if isinstance(value, dict):
            return HeldDict((key, self._taken(item, f"{path}.{key}")) for key, item in value.items())
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        self.fail(f"the attribute {path!r:.100} is {shown(value)}, which is not supported")

    def _weight(self, stored: Stored, path: str) -> Ref:
        if path in self.states:
            return self.states[path]
        if id(stored) not in self.weights:
            ref = Ref(self.names.unused(path))
            self.weights[id(stored)] = ref
            self.paths[ref.name] = path
            self.program.weights[ref.name] = str(id(stored))
            self.writer.weight(ref.name, str(id(stored)))
        return self.weights[id(stored)]

    def stored(self, path: str) -> Stored:
        """The tensor that the archive holds at a path."""
        value: Any = self.script.root
        for part in path.split("."):
            value = value.state[part]
        assert isinstance(value, Stored)
        return value

    def state(self, path: str) -> Any:
        """What a state is in the end: what was assigned, or what became of its copy."""
        owner: Any = self.script.root
        *parts, name = path.split(".")
        for part in parts:
            owner = owner.state[part]
        return self.changed.get((id(owner), name), self.states[path])

    def constant(self, name: str) -> Any:
        if not name.startswith("c") or not name[1:].isdigit() or int(name[1:]) >= len(self.script.constants):
            raise FormatError(f"the archive has no constant {name!r:.40}")
        return self._taken(self.script.constants[int(name[1:])], f"constant_{name[1:]}")
