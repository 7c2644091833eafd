"""Random ONNX graphs against ONNX Runtime and float64, in every way to run a model; exit code 1 after a finding.

    python tools/fuzz_graphs.py [--seed N] [--count N] [--minutes M] [--shrink]
    python tools/fuzz_graphs.py --show SEED         one graph: its text, its findings, and the smallest graph with them

Prints findings as they come, then the table: graphs, runs compared by way, invalid graphs (made anew), refusals by
reason, undecidable outputs, findings by kind, minutes. Each finding is repeated by its seed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from graph_fuzz import batch  # noqa: E402


def show(seed: int) -> bool:
    """Print one graph, what is found in it, and a smaller one for each kind of finding; whether there are any."""
    from graph_fuzz.make import make
    from graph_fuzz.shrink import shrink, text
    from graph_fuzz.ways import examine

    case = make(seed)
    report = examine(case)
    print(text(case), report.plain(), sep="\n")
    for kind in dict.fromkeys(found[:2] for found in report.findings):
        small = shrink(case, lambda c, kind=kind: kind in [found[:2] for found in examine(c).findings])
        print(f"\n---- smallest with {kind}\n{text(small)}", *examine(small).findings, sep="\n")
    return bool(report.findings)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=None, help="the first seed (default: from the clock)")
    parser.add_argument("--count", type=int, default=1000, help="how many valid graphs (default 1000)")
    parser.add_argument("--minutes", type=float, default=None, help="stop after so many minutes")
    parser.add_argument("--shrink", action="store_true", help="show the smallest graph of the first findings")
    parser.add_argument("--show", type=int, metavar="SEED", help="one graph by its seed")
    given = parser.parse_args()
    if given.show is not None:
        return show(given.show)
    seed = int(time.time()) * 1000 if given.seed is None else given.seed
    print(f"from seed {seed}", flush=True)
    table = batch.run(seed, given.count, given.minutes, lambda found: print(*found, flush=True))
    print(table.show())
    if given.shrink:
        for seed in list(dict.fromkeys(found[0] for found in table.findings if found[1] != "process"))[:5]:
            show(seed)
    return bool(table.findings)


if __name__ == "__main__":
    sys.exit(main())
