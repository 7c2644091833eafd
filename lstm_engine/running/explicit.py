"""Explicit states: outputs of a model that come back as the inputs they are paired with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arguments import shown
from ..arrays import plain_array
from ..errors import ArgumentError
from ..graph import Value
from ..graph.nodes import Dim
from ..plan import Plan
from .inputs import converted

Fed = dict[str, np.ndarray]


class Explicit:
    """Those of one stream, of `batch` sequences: {input: output}. Arrays are kept by input.

    A state begins with zeros. Where neither the model nor the number of sequences says how large it is, the inputs of
    the first call do, or the caller, who sets it before; until then it is not kept.
    """

    def __init__(self, pairs: Mapping[str, str], plan: Plan, batch: int, inputs: tuple[Value, ...]) -> None:
        self.after, self._plan, self._batch, self._inputs = dict(pairs), plan, batch, inputs

    def beginning(self) -> Fed:
        return {name: array for name in self.after if (array := self._zeros(name, {})) is not None}

    def begun(self, fed: Fed, arrays: Mapping[str, np.ndarray]) -> Fed:
        """The states for a call with these inputs. Raises ArgumentError for one of which nothing says the size."""
        if len(fed) == len(self.after):
            return fed
        sizes = {dim: size for value in self._inputs for dim, size in zip(value.shape, arrays[value.name].shape)
                 if isinstance(dim, str)}
        found = dict(fed)
        for name in self.after:
            if name not in found:
                zeros = self._zeros(name, sizes)
                if zeros is None:
                    raise ArgumentError(f"stream: the size of state {name!r} {list(self._plan.values[name].shape)} is "
                                        f"not known, and no input says it; set it first: "
                                        f"stream.state = {{{name!r}: array}}")
                found[name] = zeros
        return found

    def _zeros(self, name: str, sizes: Mapping[str, int]) -> np.ndarray | None:
        value, made = self._plan.values[name], self._plan.values[self.after[name]]
        # What comes out goes in again, so that an axis known of one is known of both.
        pairs = zip(value.shape, made.shape if len(made.shape) == len(value.shape) else value.shape)
        shape = [next((size for dim in dims if (size := self._size(dim, sizes)) is not None), None) for dims in pairs]
        known = [size for size in shape if size is not None]
        return None if len(known) < len(shape) else np.zeros(known, value.dtype)

    def _size(self, dim: Dim, sizes: Mapping[str, int]) -> int | None:
        """A size, as far as the number of sequences and the inputs tell."""
        return self._batch if dim == self._plan.axes.batch else dim if isinstance(dim, int) else sizes.get(dim)

    # ---- as states of callers ---------------------------------------------------------------------------------

    def shown(self, fed: Fed) -> Fed:
        """Copies of those that are kept."""
        return {name: array.copy() for name, array in fed.items()}

    def given(self, state: Mapping[str, Any], fed: Fed) -> Fed:
        """The arrays of a caller's state; what is left out begins with zeros."""
        unknown = [name for name in state if name not in self.after]
        if unknown:
            raise ArgumentError(f"state {shown(unknown[0])}: the stream has no such state; it has "
                                f"{', '.join(self.after)}")
        made = {name: np.zeros_like(array) for name, array in fed.items()} | self.beginning()
        for name in state:
            array = plain_array(state[name], f"state {name!r}")
            expected = list(fed[name].shape if name in fed else
                            [dim if (size := self._size(dim, {})) is None else size
                             for dim in self._plan.values[name].shape])
            fits = array.ndim == len(expected) and all(isinstance(dim, str) or dim == size
                                                       for dim, size in zip(expected, array.shape, strict=True))
            if not fits or array.dtype.kind not in "fiu":
                raise ArgumentError(f"state {name!r}: expected numbers of shape ({', '.join(map(str, expected))}), "
                                    f"got {array.dtype} of shape {array.shape}")
            made[name] = converted(self._plan.values[name], array, f"state {name!r}").copy()
        return made

    def zeroed(self, fed: Fed, rows: np.ndarray | None) -> Fed:
        """The states with zeros in some rows, or in all."""
        axes = {name: self._plan.axes.batch_axis(name) for name in fed}
        whole = [name for name, axis in axes.items() if axis is None]
        if rows is not None and whole:
            raise ArgumentError(f"reset: state {whole[0]!r} has no batch axis, so single rows cannot be reset")
        made = self.shown(fed)
        for name, array in made.items():
            if rows is None:
                array[...] = 0
            else:
                np.moveaxis(array, axes[name], 0)[rows] = 0         # type: ignore[arg-type]
        return made
