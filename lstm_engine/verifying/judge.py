"""How far from right a right model may be: decided by how far the framework itself is from right.

A float32 engine cannot be nearer to the exact outputs than the model's conditioning lets it: a head whose weights add
up to 130 loses two digits more than one whose weights add up to 1, a cell that carries its state over 10,000 steps more
than one that carries it over ten. One tolerance for all models either refuses right ones or passes wrong ones. So the
judge asks the framework, and nothing of this project: how far do its own outputs move when it computes in float64, and
when every weight and input is moved by one unit in the last place, which is what rounding amounts to? We may be off by
FACTOR times that. To this come a few units in the last place of the output's own size: engines differ by them in `exp`.

The error is looked up where it arises: at the number itself, in its row (median over the channels, each in units of its
own size) and in its channel (the last axis; 90 of 100 errors are below what counts). So one lucky run does not make the
tolerance too small, a channel of timestamps does not widen that of a probability, and one element that jumps (a
threshold crossed, another maximum) does not widen it for its neighbours. Where the framework moves by more than
UNDECIDED of a channel's size, a comparison says little: such numbers are counted and named. Whole numbers and flags
must be equal except where the framework's own change.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..types import Array
from .differences import Difference, difference

FACTOR = 16.0         # engines add products in other orders (scalar code: 8.3 was seen) and have other kernels for exp
UNITS = 16.0          # units in the last place of an output's own size that are always allowed
ABSOLUTE = 4.0        # and of 1, or of all channels if smaller: engines differ so in sigmoids near 0
UNDECIDED = 2e-2      # where FACTOR times its movement is more than this, a framework says little about an element
TRUSTED = 256.0       # float64 further than this from float32, in units of its movement, is another function


@dataclass
class Sample:
    """One output of one case: ours, the framework's, its nudged ones and its float64 one (or None)."""

    ours: Array
    theirs: Array
    nudged: list[Array] = field(default_factory=list)
    exact: Array | None = None


@dataclass
class Verdict:
    """One output in all cases of one family.

    found: ours against the framework's. ours_off, theirs_off: the largest distances from what is taken for right.
    used: the largest part of its tolerance that a number used up; above 1 it is wrong. tolerance: there. undecided:
    numbers of which the framework is not sure itself, of `count`; differing: whole numbers among them that differ.
    """

    found: Difference = field(default_factory=Difference)
    ours_off: float = 0.0
    theirs_off: float = 0.0
    used: float = 0.0
    tolerance: float = 0.0
    undecided: int = 0
    differing: int = 0
    count: int = 0
    finite: int = 0

    @property
    def good(self) -> bool:
        return self.used <= 1.0

    @property
    def decides(self) -> bool:
        """Whether most of what was compared could have shown a difference."""
        return 2 * (self.count - self.undecided) > self.count and (self.finite > 0)


def judge(samples: list[Sample], trust_exact: bool = True) -> Verdict:
    """The verdict on one output from the cases of one family, whose shapes are those of the framework."""
    samples = [sample for sample in samples if sample.ours.size]
    verdict = Verdict()
    for sample in samples:
        verdict.found.add(difference(sample.ours, sample.theirs))
        verdict.count += sample.ours.size
    if not samples:
        return verdict
    if samples[0].ours.dtype.kind != "f" and samples[0].theirs.dtype.kind != "f":
        _judge_whole(samples, verdict)
    else:
        _judge_floats(samples, verdict, trust_exact)
    return verdict


def exact_is_the_same_function(samples: list[Sample]) -> bool:
    """Whether the float64 run is of the program that the float32 run is of: not, where it asks for its inputs' type."""
    for sample in samples:
        if sample.exact is None or sample.exact.shape != sample.theirs.shape:
            return False
        if sample.theirs.dtype.kind != "f" or not sample.theirs.size:
            continue
        theirs, exact = _wide(sample.theirs), _wide(sample.exact)
        with np.errstate(all="ignore"):
            finite = np.isfinite(theirs) & np.isfinite(exact)
            moved = [np.abs(_wide(one) - theirs)[finite] for one in sample.nudged if one.shape == theirs.shape]
            if not finite.any():
                continue
            size = np.abs(exact[finite]).max()
            room = max([float(np.median(one)) for one in moved], default=0.0) + 4 * _unit(sample) * size
            if float(np.median(np.abs(theirs - exact)[finite])) > TRUSTED * room:
                return False
    return True


def _judge_whole(samples: list[Sample], verdict: Verdict) -> None:
    for sample in samples:
        sure = np.ones(sample.theirs.shape, bool)
        for other in [*sample.nudged, *([] if sample.exact is None else [sample.exact])]:
            sure &= (other == sample.theirs) if other.shape == sample.theirs.shape else False
        differs = sample.ours != sample.theirs
        verdict.undecided += int((~sure).sum())
        verdict.differing += int((differs & ~sure).sum())
        verdict.finite += sample.ours.size
        if (differs & sure).any():
            verdict.used = np.inf
        verdict.ours_off = max(verdict.ours_off, verdict.found.absolute)


def _judge_floats(samples: list[Sample], verdict: Verdict, trust_exact: bool) -> None:
    rows = [_Rows.of(sample, trust_exact) for sample in samples]
    if len({one.truth.shape[1] for one in rows}) > 1:             # the last axis is time, or another free size
        rows = [one.flat() for one in rows]
    unit = max(_unit(sample) for sample in samples)
    with np.errstate(all="ignore"):
        size = np.max([one.size() for one in rows], axis=0)                                         # [channels]
        relative = [np.where(size > 0, one.error / np.where(size > 0, size, 1), 0) for one in rows]
        channel = _quantile(np.concatenate([one.error for one in rows]), 0.9, axis=0)               # [channels]
        typical = _quantile(np.concatenate(relative), 0.5)
        floor = UNITS * unit * size + ABSOLUTE * unit * min(1.0, float(size.max(initial=0.0)))
        for one, part in zip(rows, relative, strict=True):
            row = np.maximum(_quantile(part, 0.5, axis=1), typical)[:, None] * size
            limit = FACTOR * np.maximum(np.maximum(one.error, channel), row) + floor
            off = np.where(one.same, 0.0, np.abs(one.ours - one.truth))
            off = np.where(np.isfinite(off), off, np.inf)
            unsure = one.unsure | (limit - floor > UNDECIDED * size)
            used = np.where(one.unsure | (off == 0), 0.0, off / limit)
            verdict.undecided += int(unsure.sum())
            verdict.finite += int(np.isfinite(one.truth).sum())
            verdict.ours_off = max(verdict.ours_off, float(off.max()))
            verdict.theirs_off = max(verdict.theirs_off, float(one.error.max()))
            worst = np.unravel_index(int(np.argmax(used)), used.shape)
            if used[worst] >= verdict.used:
                verdict.used, verdict.tolerance = float(used[worst]), float(limit[worst])


@dataclass
class _Rows:
    """One sample as [rows, channels] in float64. error: the framework's largest distance from the truth in all its
    runs; same: equal, NaN and infinities included. unsure: not finite in some of
    its runs only."""

    ours: Array
    truth: Array
    error: Array
    same: Array
    unsure: Array

    @staticmethod
    def of(sample: Sample, trust_exact: bool) -> _Rows:
        shape = (-1, sample.theirs.shape[-1]) if sample.theirs.ndim > 1 else (-1, 1)
        theirs = _wide(sample.theirs).reshape(shape)
        exact = _wide(sample.exact).reshape(shape) if trust_exact and sample.exact is not None else theirs
        runs = [theirs, *(_wide(one).reshape(shape) for one in sample.nudged if one.shape == sample.theirs.shape)]
        ours = _wide(sample.ours).reshape(shape)
        with np.errstate(all="ignore"):
            finite = [np.isfinite(one) for one in (*runs, exact)]
            unsure = ~np.all(finite, axis=0) & np.any(finite, axis=0)
            truth = np.where(np.isfinite(exact) & np.isfinite(theirs), exact, theirs)
            errors = [np.where(np.isfinite(one - truth), np.abs(one - truth), 0.0) for one in runs]
            same = (ours == truth) | (np.isnan(ours) & np.isnan(truth)) \
                | ((ours == theirs) & ~np.isfinite(theirs)) | (np.isnan(ours) & np.isnan(theirs))
        return _Rows(ours, truth, np.max(errors, axis=0), same, unsure)

    def flat(self) -> _Rows:
        return _Rows(*(array.reshape(-1, 1) for array in (self.ours, self.truth, self.error, self.same,
                                                          self.unsure)))

    def size(self) -> Array:
        """The largest magnitude of each channel, [channels]."""
        largest: Array = np.max(np.where(np.isfinite(self.truth), np.abs(self.truth), 0.0), axis=0, initial=0.0)
        return largest


def _quantile(values: Array, part: float, axis: int | None = None) -> Array:
    found: Array = np.quantile(values, part, axis=axis, method="higher")
    return found


def _wide(array: Array) -> Array:
    return np.asarray(array, np.float64)


def _unit(sample: Sample) -> float:
    """The unit in the last place, relative, of the coarser of both types."""
    kinds = [array.dtype for array in (sample.ours, sample.theirs) if array.dtype.kind == "f"]
    return max(float(np.finfo(kind).eps) for kind in kinds)
