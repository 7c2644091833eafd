"""Measures the largest error of activations over the numbers of float32, all 2^32 of them unless told otherwise.

    python tools/check_activations.py [name ...] [--isa NAME] [--every N]

Default: sigmoid and tanh, every instruction set of this CPU. Prints, for each, the largest error in units in the last
place (ulp) of the exact result and where it is, and the largest absolute error; exit code 1 where an error is above
the bound that docs/numerics.md states.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from ulps import WIDTH, Bound, documented_bounds, errors, exact, excess, runner, ulp  # noqa: E402

import lstm_engine as le  # noqa: E402

PORTION = WIDTH * 1024       # numbers looked at in one go


def measure(bound: Bound, isa: str, stride: int) -> bool:
    """Print the line of one activation on one instruction set; whether the bound is kept."""
    run, started = runner(bound.activation, isa), time.monotonic()
    worst_ulp, worst_at, worst_absolute, worst_excess = 0.0, 0.0, 0.0, 0.0
    for first in range(0, 2**32, PORTION * stride):
        bits = np.arange(first, min(first + PORTION * stride, 2**32), stride, dtype=np.uint64).astype(np.uint32)
        x = bits.view(np.float32)
        x = x[np.isfinite(x)]
        if x.size == 0:
            continue
        x = np.concatenate([x, np.repeat(x[-1:], -x.size % WIDTH)]).reshape(-1, WIDTH)
        got, wanted = run(x), exact(bound.activation, x)
        found = errors(got, wanted)
        in_ulp = found / ulp(wanted)
        at = int(in_ulp.argmax())
        if in_ulp.flat[at] > worst_ulp:
            worst_ulp, worst_at = float(in_ulp.flat[at]), float(x.flat[at])
        with np.errstate(invalid="ignore"):
            worst_absolute = max(worst_absolute, float(found[np.abs(wanted) <= 1].max(initial=0)))
        worst_excess = max(worst_excess, float(excess(bound, x, got, wanted).max()))
    kept = worst_excess <= 1
    print(f"{bound.activation.name:17} {isa:7} {worst_ulp:12.4g} ulp at {worst_at:<15.9g} "
          f"{worst_absolute:9.3g} absolute where |y| <= 1   {'kept' if kept else 'BROKEN'} "
          f"({time.monotonic() - started:.0f} s)", flush=True)
    return kept


def main() -> int:
    bounds = documented_bounds()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["sigmoid", "tanh"], help="activations, or 'all'")
    parser.add_argument("--isa", choices=le.info()["isas"], help="default: each that this CPU runs")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each N-th number")
    chosen = parser.parse_args()
    names = list(bounds) if chosen.names == ["all"] else chosen.names
    if unknown := [name for name in names if name not in bounds]:
        parser.error(f"no bound is documented for {', '.join(unknown)}")
    isas = [chosen.isa] if chosen.isa else le.info()["isas"]
    results = [measure(bounds[name], isa, chosen.every) for name in names for isa in isas]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
