"""What the modules of a script hold: settings, tensors, modules inside; and what a call changes of it.

A tensor that calls change is a state. Two attributes can be one tensor, and one module can be two attributes: a tensor
is known by what the archive has of it, an attribute by its module and name, and neither by the path that led there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ....errors import FormatError, UnsupportedError
from ..checkpoints.symbols import Instance
from ..checkpoints.symbols import Tensor as Stored
from ..program.emit import Tensor
from ..program.schema import Ref
from .operators import Operators
from .plain import HeldDict, HeldList
from .values import Changes, Object, State, shown


@dataclass(eq=False)
class Attributes(Operators):
    weights: dict[int, Ref] = field(default_factory=dict)                   # by the id of a tensor of the archive
    changed: dict[tuple[int, str], Any] = field(default_factory=dict)       # attributes that were set
    begun: dict[State, Any] = field(default_factory=dict)                   # states as they are when a call begins
    final: dict[State, Any] = field(default_factory=dict)                   # what was assigned to them last
    in_place: set[str] = field(default_factory=set)                         # names of those of them changed in place

    def value(self, tree: Any, scope: Mapping[str, Any]) -> Any:
        """An expression of the code: the classes write their constants so."""
        raise NotImplementedError

    def set(self, owner: Object, name: str, value: Any) -> None:
        path, slot = _path(owner.path, name), (id(owner.instance), name)
        held = owner.instance.state.get(name) if isinstance(owner.instance.state, dict) else None
        if not isinstance(held, Stored):
            self.fail(f"it changes its own attribute {path!r:.100}, which the next call would read; supported: tensors "
                      "that it keeps from call to call")
        state = self._state_of(held, slot)
        if state is None:
            raise Changes(State(path, held, slot))
        if state.slot is None and self.script.held[id(held)].places > 1:
            memory = self.writer.memory.held
            if isinstance(value, Ref) and memory.get(value.name) is memory[self.begun[state].name]:
                return                              # self.h += x: the same tensor, changed in place
            self.fail(f"it assigns to the attribute {path!r:.100}, and changes the tensor there in place, which is "
                      "that of other attributes as well; which of them are one from call to call is not followed")
        self.changed[slot] = self.final[state] = value

    def held(self, owner: Object, name: str) -> Any:
        """An attribute of a module: what the archive holds, or what its class says it is."""
        slot = id(owner.instance), name
        if slot in self.changed:
            return self.changed[slot]
        state = owner.instance.state
        if not isinstance(state, dict):
            raise FormatError(f"the module {owner.path!r:.100} has no attributes")
        if name in state:
            return self._taken(state[name], _path(owner.path, name), slot)
        _, value = owner.kind.fields.get(name, (None, None))
        if value is not None:
            return self.value(value, {})
        self.fail(f"the module {owner.path or owner.kind.name!r:.100} has no attribute {name!r:.60}")

    def _taken(self, value: Any, path: str, slot: tuple[int, str] | None = None) -> Any:
        """A value of the archive as one of the program."""
        self.count()
        if isinstance(value, Stored):
            state = self._state_of(value, slot)
            return self._weight(value, path) if state is None else self.begun[state]
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

    def constant(self, name: str) -> Any:
        if not name.startswith("c") or not name[1:].isdigit() or int(name[1:]) >= len(self.script.constants):
            raise FormatError(f"the archive has no constant {name!r:.40}")
        return self._taken(self.script.constants[int(name[1:])], f"constant_{name[1:]}")

    def _weight(self, stored: Stored, path: str) -> Ref:
        held = self.script.held.get(id(stored))                     # None of constants of the code
        first = id(stored) if held is None else held.first
        if first not in self.weights:
            ref = Ref(self.names.unused(path))
            self.weights[first] = ref
            self.kept[ref.name] = State(path, stored, None)
            self.program.weights[ref.name] = str(first)
            self.writer.weight(ref.name, str(first))
        return self.weights[first]

    # States.

    def begin(self, state: State, ref: Ref) -> None:
        """Take a state as an input, of which `ref` is the copy that the call changes."""
        self.begun[state] = ref

    def _state_of(self, stored: Stored, slot: tuple[int, str] | None) -> State | None:
        """The state that an attribute is: by its own name where it is assigned to, or as the tensor that it is."""
        held = self.script.held.get(id(stored))
        for state in self.begun:
            if state.slot is not None and state.slot == slot:
                return state
            if held is not None and self.script.held[id(state.stored)].first == held.first and (
                    state.slot is None or held.places == 1):
                return state
        return None

    def changes_memory(self, root: str) -> None:
        """Note that the tensor with the name `root`, or a view of it, is changed in place.

        Raises Changes if it is one of the module's that is no state yet.
        """
        state = next((state for state, ref in self.begun.items() if ref.name == root), self.kept.get(root))
        if state is None:
            return
        held = self.script.held.get(id(state.stored))
        if held is None:
            self.fail("it changes a constant of its code in place, which the next call would read")
        if held.overlaps(state.stored):
            self.fail(f"it changes {state.path!r:.100} in place, whose memory other attributes have, too; save the "
                      "module with clone() of one of them")
        if held.places > 1 and any(self.script.held[id(other.stored)].first == held.first and other.slot is not None
                                   for other in self.begun):
            self.fail(f"it changes {state.path!r:.100} in place, which is the tensor of several attributes, and "
                      "assigns to one of them; which of them are one from call to call is not followed")
        if root in self.kept:
            raise Changes(state)
        self.in_place.add(root)

    def finals(self) -> dict[State, Any]:
        """What each state is in the end: what was assigned, or what became of its copy.

        Raises UnsupportedError where the next call could not begin with it.
        """
        made = self.begun | self.final
        for state, begun in self.begun.items():
            self._check_next(state, begun, made[state])
            if begun.name in self.in_place:
                self._check_alone(state, made)
        return made

    def _check_next(self, state: State, begun: Ref, final: Any) -> None:
        before, after = self.writer.value(begun), self.writer.value(final) if isinstance(final, Ref) else None
        if not isinstance(after, Tensor):
            return
        fits = before.rank == after.rank and all(
            old == new or isinstance(new, str) for old, new in zip(before.shape, after.shape, strict=True))
        if before.dtype != after.dtype or not fits:
            raise UnsupportedError(
                f"the state {state.path!r:.100} is {before.dtype} {list(before.shape)} when a call begins and "
                f"{after.dtype} {list(after.shape)} when it ends; a state has one type and one shape")

    def _check_alone(self, state: State, finals: Mapping[State, Any]) -> None:
        """Refuse a state that the next call would change in place together with something else."""
        def area(value: Any) -> Any:
            held = self.writer.memory.held.get(value.name) if isinstance(value, Ref) else None
            return None if held is None else held.block.area
        mine = area(finals[state])
        if mine is not None and (mine.given or any(area(final) is mine for other, final in finals.items()
                                                   if other is not state)):
            raise UnsupportedError(f"the state {state.path!r:.100} becomes the memory of something else that is kept, "
                                   "and is changed in place by the next call; assign clone() of it")


def _path(owner: str, name: str) -> str:
    return f"{owner}.{name}" if owner else name
