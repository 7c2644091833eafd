"""Random torch modules with forwards of their own, live and through `.pt2` files, against torch.

    python tools/fuzz_torch.py [--seed N] [--count N] [--minutes M]

Each seed is a random composition of the blocks in tests/support/torch_programs.py, checked as the tests do: several
batch and time sizes, saved and loaded. Prints every seed that fails, then how many were tried; exits 1 if any failed.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, help="the first seed (default: a random one)")
    parser.add_argument("--count", type=int, default=100, help="how many modules (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after this many minutes")
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support"), str(ROOT / "tests" / "differential")]
    from test_torch_programs import check
    from torch_program_cases import composed

    warnings.simplefilter("ignore")
    first = options.seed if options.seed is not None else random.randrange(10**6)
    begun, seed, failed = time.monotonic(), first, 0
    while seed < first + options.count and time.monotonic() < begun + 60 * options.minutes:
        case = composed(seed)
        with tempfile.TemporaryDirectory() as folder:
            try:
                check(case, Path(folder))
            except Exception:
                failed += 1
                print(f"{case.name}\n{traceback.format_exc()}", flush=True)
        seed += 1
    minutes = (time.monotonic() - begun) / 60
    print(f"{seed - first} modules from seed {first} on in {minutes:.1f} minutes, {failed} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
