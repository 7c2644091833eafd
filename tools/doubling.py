"""Prints what reading files costs as they grow by one thing: N, 2N and 4N of it, each time beside what N costs.

    python tools/doubling.py [part of a name ...] [--times K]

CPU seconds of the faster of two readings, lines and calls of Python (counted), the most memory in use, and by how much
each grows with a doubling; 2 is in proportion. tests/hostile/test_doubling.py holds the counts to it. --times: K times
the N of the tests, where seconds say more. Exit code 1 if a count grows by more than 2.3.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]


def seconds(case, folder: Path, n: int) -> float:
    from doubling_costs import outcome, parsers_here

    folder.mkdir()
    given = case.make(folder, n)
    taken = []
    with parsers_here():
        for _ in range(2):
            began = time.process_time()
            outcome(case, given)
            taken.append(time.process_time() - began)
    return min(taken)


def ratio(taken: list[float]) -> float:
    """The factor of one doubling of two."""
    return (taken[2] / max(taken[0], 1e-6)) ** 0.5


def main() -> int:
    from doubling_all import ALL
    from doubling_costs import MOST, cost, growth

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="parts of names of cases; default: all")
    parser.add_argument("--times", type=int, default=1, metavar="K", help="times the N of the tests")
    parser.add_argument("--seconds", action="store_true", help="count nothing: counting takes fifty times as long")
    chosen = parser.parse_args()
    print(f"{'':44} {'N':>6}  {'s: N':>6} {'2N':>6} {'4N':>6} {'grows':>6}  {'events 4N':>10} {'grows':>6}  "
          f"{'peak 4N':>8} {'grows':>6}  ends")
    over = 0
    for case in ALL:
        if chosen.names and not any(name in case.name for name in chosen.names):
            continue
        with tempfile.TemporaryDirectory() as folder:
            sizes = [case.n * chosen.times * factor for factor in (1, 2, 4)]
            taken = [seconds(case, Path(folder, f"s{n}"), n) for n in sizes]
            line = f"{case.name:44} {sizes[0]:6}  {taken[0]:6.3f} {taken[1]:6.3f} {taken[2]:6.3f} {ratio(taken):6.2f}"
            if chosen.seconds:
                print(line, flush=True)
                continue
            one, four = (cost(case, Path(folder, f"c{n}"), n) for n in sizes[::2])
        grows = growth(one.events, four.events), growth(one.peak, four.peak)
        bad = max(grows) > MOST
        over += bad
        print(f"{line}  {four.events:10,} {grows[0]:6.2f}  {four.peak / 1e6:7.2f}M {grows[1]:6.2f}  {four.ended}"
              f"{'  MORE THAN IN PROPORTION' if bad else ''}", flush=True)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
