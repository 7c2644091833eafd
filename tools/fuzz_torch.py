"""Random torch modules with forwards of their own, live and through `.pt2` files, against torch.

    python tools/fuzz_torch.py [--seconds 600] [--first SEED]

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
    parser.add_argument("--seconds", type=float, default=600, help="how long to go on (default: 600)")
    parser.add_argument("--first", type=int, help="the first seed (default: a random one)")
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support"), str(ROOT / "tests" / "differential")]
    from test_torch_programs import check
    from torch_programs import composed

    warnings.simplefilter("ignore")
    first = options.first if options.first is not None else random.randrange(10**6)
    end, seed, failed = time.monotonic() + options.seconds, first, 0
    while time.monotonic() < end:
        case = composed(seed)
        with tempfile.TemporaryDirectory() as folder:
            try:
                check(case, Path(folder))
            except Exception:
                failed += 1
                print(f"{case.name}\n{traceback.format_exc()}", flush=True)
        seed += 1
    print(f"{seed - first} modules from seed {first} on, {failed} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
