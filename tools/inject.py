"""Injects faults into everything that reads, runs or writes a model: the table of what came of them.

    python tools/inject.py [campaign ...] [--points N] [--quick]

Campaigns: memory that is refused (core memory, any memory, Python memory), and calls of the system that fail, are
interrupted or come back short (EIO, ENOSPC, EINTR, short, all short, ends early). Every n-th call of an operation is a
point. A line an operation: points, outcomes by kind. What may not be (a crash, wrong numbers, a state that changed,
something left behind, an error that is not ours) is listed, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
    from faults import campaigns

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaign", nargs="*", choices=[[], *campaigns.CAMPAIGNS], metavar="campaign",
                        help="which; default: all")
    parser.add_argument("--points", type=int, default=10**9, help="at most so many of each operation; default: all")
    parser.add_argument("--quick", action="store_true", help="leave out what is read by a child process")
    options = parser.parse_args()
    started, points, wrong = time.monotonic(), 0, []
    with tempfile.TemporaryDirectory(prefix="lstm-engine-inject-") as folder:
        for name in options.campaign or campaigns.CAMPAIGNS:
            if why := campaigns.absent(name):
                print(f"{name}: skipped: {why}")
                continue
            for result in campaigns.run(name, options.points, Path(folder), options.quick):
                print(result.line(), flush=True)
                print("".join(f"    {line}\n" for line in result.wrong), end="", flush=True)
                points += sum(result.outcomes.values())
                wrong += result.wrong
    print(f"{points} points in {time.monotonic() - started:.0f} s; {len(wrong)} outcomes that may not be")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
