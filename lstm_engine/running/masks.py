"""A time axis during a run: its lengths, and how a mask's steps are taken out and put back.

Keras' meaning of a mask: a masked step leaves the state alone and repeats the output of the step before it (0 before
the first that counts). So the core runs the steps that count, side by side, as sequences of unequal length.
"""

from __future__ import annotations

import numpy as np

from ..graph import Node, Recurrent


class AxisRun:
    """One time axis of one run. `steps` is what the core sees, `full_steps` what the values outside have."""

    def __init__(self, lengths: np.ndarray | None, mask: np.ndarray | None, steps: int) -> None:
        """lengths: int32 [batch], mask: bool [batch, steps], both checked."""
        self.lengths, self.mask = lengths, mask
        self.steps = self.full_steps = steps
        self._taken: np.ndarray | None = None      # [batch, steps]: the steps that count, then any
        if mask is None:
            return
        if lengths is not None:
            mask = mask & (np.arange(mask.shape[1]) < lengths[:, None])
        if mask.all():
            self.mask = None
            return
        self.mask = mask
        self.lengths = mask.sum(axis=1, dtype=np.int32)
        if (mask[:, :-1] < mask[:, 1:]).any():     # not only padding at the end: steps must move together
            longest = int(self.lengths.max(initial=0))
            self._taken = np.argsort(~mask, axis=1, kind="stable")[:, :longest]

    def compact(self, array: np.ndarray) -> np.ndarray:
        """The steps that count of [batch, full_steps, ...], first in each row."""
        if self._taken is None:
            return array
        taken = self._taken.reshape(self._taken.shape + (1,) * (array.ndim - 2))
        return np.take_along_axis(array, taken, axis=1)

    def expand(self, array: np.ndarray, maker: Node | None, before_first: np.ndarray | None = None) -> np.ndarray:
        """The output [batch, full_steps, features] from that of the steps that count.

        before_first: [batch, features], what stands at masked steps before the first that counts; zeros where left out.
        """
        if self.mask is None or self.lengths is None:
            return array
        recurrent = maker if isinstance(maker, Recurrent) else None
        dirs = recurrent.dirs if recurrent else 1
        before = np.cumsum(self.mask, axis=1) - self.mask          # steps that count, before each step
        width = array.shape[2] // dirs
        ends = np.zeros_like(array, shape=(len(array), 2, array.shape[2]))
        if before_first is not None:
            ends[:, 0] = before_first
        padded = np.concatenate([array, ends], axis=1)
        none_yet, nothing = array.shape[1], array.shape[1] + 1
        parts = []
        for direction in range(dirs):
            reverse = recurrent is not None and (recurrent.direction == "reverse" or direction == 1)
            # A masked step repeats what the direction made last: the step before it in its own order.
            source = np.where(self.mask, before, before if reverse else before - 1)
            source = np.where(source < 0, none_yet, np.where(source >= self.lengths[:, None], nothing, source))
            if recurrent is not None and recurrent.zero_masked:
                source = np.where(self.mask, source, nothing)
            parts.append(np.take_along_axis(padded[:, :, direction * width:(direction + 1) * width],
                                            source[:, :, None], axis=1))
        return parts[0] if dirs == 1 else np.concatenate(parts, axis=2)
