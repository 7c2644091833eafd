"""The reproducibility matrix: cells down, circumstances across, for every instruction set of this machine and type of
weights.

    python tools/reproducibility.py [--json] [--sizes N] [--weights TYPE ...]

"same" says that every bit of every sequence came out the same in that circumstance (tests/support/same_bits.py says
what each one tries), over N random sizes of each network; "-" that it does not apply. Exit code 1 if anything differed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from same_bits import CIRCUMSTANCES, ISAS, NETWORKS, WEIGHTS, Differs, Network  # noqa: E402

FINE = ("same", "-")


def sizes(kind: str, weights: str, count: int, seed: int) -> list[Network]:
    """Networks of one kind: one beside multiples of every vector and block length, the others random."""
    rng = np.random.default_rng([seed, sum(map(ord, kind))])
    chosen = [Network(kind, features=70, hidden=75, batch=7, time=9, seed=seed, weights=weights)]
    for _ in range(count - 1):
        features, hidden = (int(v) for v in rng.integers(1, 200, 2))
        batch, time = int(rng.integers(1, 20)), int(rng.integers(1, 16))
        chosen.append(Network(kind, features, hidden, batch, time, seed, weights))
    return chosen


def measure(isa: str, weights: str, count: int, seed: int) -> dict[str, dict[str, str]]:
    """network -> circumstance -> "same", "-" (does not apply), or what differed."""
    found: dict[str, dict[str, str]] = {}
    for kind in NETWORKS:
        found[kind] = dict.fromkeys(CIRCUMSTANCES, "same")
        for network in sizes(kind, weights, count, seed):
            model, x = network.model(isa), network.input()
            for name, circumstance in CIRCUMSTANCES.items():
                try:
                    if circumstance(model, x, np.random.default_rng(seed)) is False:
                        found[kind][name] = "-"
                except Differs as error:
                    found[kind][name] = f"{network}: {error}"
    return found


def show(isa: str, weights: str, found: dict[str, dict[str, str]], count: int) -> None:
    names = list(CIRCUMSTANCES)
    wide = max(map(len, found))
    print(f"\n{isa}, weights {weights}, {count} sizes of each\n" + " " * wide + "  " + "  ".join(names))
    for kind, row in found.items():
        marks = ((row[name] if row[name] in FINE else "DIFFERS").center(len(name)) for name in names)
        print(kind.ljust(wide) + "  " + "  ".join(marks).rstrip())
    for kind, row in found.items():
        for name, result in row.items():
            if result not in FINE:
                print(f"{weights}, {kind}, {name}: {result}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="the matrix as JSON")
    parser.add_argument("--sizes", type=int, default=5, metavar="N", help="sizes of each network (default: 5)")
    parser.add_argument("--weights", nargs="+", choices=WEIGHTS, default=WEIGHTS, metavar="TYPE",
                        help=f"of {', '.join(WEIGHTS)} (default: all); mixed: each layer has another")
    parser.add_argument("--seed", type=int, default=1, help="of weights, inputs and sizes (default: 1)")
    arguments = parser.parse_args()
    matrix: dict[str, dict[str, dict[str, dict[str, str]]]] = {isa: {} for isa in ISAS}
    for isa, weights in itertools.product(ISAS, arguments.weights):
        found = matrix[isa][weights] = measure(isa, weights, arguments.sizes, arguments.seed)
        if not arguments.json:
            show(isa, weights, found, arguments.sizes)
    if arguments.json:
        print(json.dumps(matrix, indent=1))
    results = [result for of_isa in matrix.values() for found in of_isa.values() for row in found.values()
               for result in row.values()]
    return int(any(result not in FINE for result in results))


if __name__ == "__main__":
    sys.exit(main())
