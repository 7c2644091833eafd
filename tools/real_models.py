"""Trained models of others, run by the C core: one line an output, exit code 1 if one is beyond tolerance.

    python tools/real_models.py [part of a name ...] [--real ../shared/real]

stored: the outputs that the model's framework computed in float32. exact: the float64 oracle's. max abs and max rel are
our largest distances from the stored outputs (relative ones mean little where an output crosses 0); the tolerance is
absolute.
Some stored outputs are themselves too far from the exact ones to be met within the tolerance by anything more exact:
there ours must be as near to the exact ones as they are ("as exact as stored"), up to twice the distance.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from real_models import CASES, Case  # noqa: E402

import lstm_engine as le  # noqa: E402


def show(case: Case, real: Path) -> bool:
    """Print the lines of one model; whether all of them are within tolerance."""
    rows = case.measure(real)
    for row in rows:
        name = case.name if len(case.name) <= 44 else case.name[:41] + "..."
        print(f"{name:<45}{row.output:<13}{row.found.absolute:>9.2g}{row.found.relative:>9.2g}{case.tolerance:>11.0e}"
              f"{row.stored_from_exact:>16.2g}{row.ours_from_exact:>14.2g}  {row.verdict}", flush=True)
    return all(row.good for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="models whose names have one of these parts (default: all)")
    parser.add_argument("--real", type=Path, default=ROOT.parent / "shared" / "real", help="the folder of the models")
    chosen = parser.parse_args()
    if not chosen.real.is_dir():
        parser.error(f"{chosen.real} is not a folder")
    cases = [case for case in CASES if not chosen.names or any(part in case.name for part in chosen.names)]
    if not cases:
        parser.error(f"no model is called so; there are: {', '.join(case.name for case in CASES)}")
    print(f"{'model, on ' + le.info()['isa']:<45}{'output':<13}{'max abs':>9}{'max rel':>9}{'tolerance':>11}"
          f"{'stored - exact':>16}{'ours - exact':>14}")
    return 0 if all([show(case, chosen.real) for case in cases]) else 1


if __name__ == "__main__":
    sys.exit(main())
