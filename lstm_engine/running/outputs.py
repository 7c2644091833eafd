"""What a plan made, as it goes to a caller: into their arrays, or arrays that nobody else holds; without padding."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Mapping
from typing import Any

import numpy as np

from ..arguments import shown
from ..arrays import Owners, may_be_masked
from ..errors import ArgumentError, ArgumentTypeError
from ..plan import HostStep, LoopStep, Plan, Segment
from ..plan.weights import arrays_of
from .inputs import Checked


class Outputs:
    """The outputs of one plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        # A host operator may pass on a caller's input or a constant of the model, as it is or in another shape.
        self._constants = Owners(array for step in plan.steps if isinstance(step, HostStep)
                                 for array in arrays_of(step.node))
        made = {port.value for step in plan.steps if isinstance(step, Segment) for port in step.outputs}
        made |= {name for step in plan.steps if isinstance(step, LoopStep) for name in step.makes()}
        self.may_alias = tuple(name for name in plan.outputs if name not in made)

    def targets(self, out: Any, checked: Checked) -> dict[str, np.ndarray]:
        """The arrays given as `out`, by output name, checked: each of its output's own shape and dtype.

        Raises ArgumentError, ArgumentTypeError.
        """
        if out is None:
            return {}
        names = self._plan.outputs
        if not isinstance(out, Mapping):
            if len(names) != 1:
                raise ArgumentTypeError(f"out: the model has {len(names)} outputs; give a dict by name "
                                        f"({', '.join(names)})")
            out = {names[0]: out}
        out = dict(out)
        for name, array in out.items():
            if name not in names:
                raise ArgumentError(f"out: {shown(name)} is no output of the model; it has {', '.join(names)}")
            value = self._plan.values[name]
            if not isinstance(array, np.ndarray) or may_be_masked(array):
                raise ArgumentTypeError(f"out {name!r}: expected an array, got {type(array).__name__}")
            shape = tuple(checked.sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in value.shape)
            # A symbol that is left stands for a size that only the run tells; `put` and the core look at it then.
            fits = array.ndim == len(shape) and all(isinstance(dim, str) or dim == size
                                                    for dim, size in zip(shape, array.shape, strict=True))
            if not fits or array.dtype != value.dtype:
                raise ArgumentError(f"out {name!r}: expected {value.dtype} of shape {list(shape)}, got {array.dtype} "
                                    f"of shape {list(array.shape)}")
            if not (array.flags.c_contiguous and array.flags.writeable and array.flags.aligned):
                raise ArgumentError(f"out {name!r}: must be writeable and C-contiguous")
            if any(np.may_share_memory(array, given) for given in checked.arrays.values()):
                raise ArgumentError(f"out {name!r}: shares memory with an input")
        for (name, array), (other, second) in itertools.combinations(out.items(), 2):
            if np.may_share_memory(array, second):
                raise ArgumentError(f"out {name!r} and {other!r} share memory")
        return dict(out)

    def owned(self, results: dict[str, np.ndarray], given: Iterable[np.ndarray], keep: Container[str] = ()) -> None:
        """Copy those that show memory of `given`, of each other or of the model's constants, but for the names in
        `keep`."""
        asked = [name for name in self.may_alias if name in results and name not in keep]
        held = Owners([*given, *(array for name, array in results.items() if name not in asked)])
        for name in asked:
            array = results[name]
            # What Expand makes of one row shows that row many times, and cannot be written to.
            if not array.flags.writeable or held.share(array) or self._constants.share(array):
                results[name] = array.copy()
            else:
                held.add(array)

    def unpadded(self, name: str, array: np.ndarray, checked: Checked) -> Any:
        """Zeros past the end of each sequence; a list of arrays where the input was a list."""
        rows = self._plan.rows_apart[name]
        if not isinstance(rows, int):
            rows = self._plan.axes.batch_axis(name)
        if rows is None:
            return array
        places = ((self._plan.steps_apart[time][name], own)             # type: ignore[index]
                  for time, own in checked.lengths.items())
        ends = [(place - (place > rows), own) for place, own in places if isinstance(place, int)]
        if not ends:
            return array
        first, items = min(axis for axis, _ in ends), []
        for row, item in enumerate(np.moveaxis(array, rows, 0)):
            inside = [slice(None)] * item.ndim
            for axis, own in ends:
                np.moveaxis(item, axis, 0)[own[row]:] = 0
                inside[axis] = slice(own[row])
            items.append(item[tuple(inside)])
        return [np.moveaxis(item, first, 0).copy() for item in items] if checked.listed else array


def put(name: str, result: np.ndarray, target: np.ndarray) -> None:
    """Write an output where the caller wants it, whose size may be known only now."""
    if result.shape != target.shape:
        raise ArgumentError(f"out {name!r}: expected shape {list(result.shape)}, got {list(target.shape)}")
    target[...] = result
