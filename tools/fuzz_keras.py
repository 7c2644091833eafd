"""Random Keras models against Keras: every file format, and every way to run them. Needs Keras 3 on torch.

    python tools/fuzz_keras.py [--seed N] [--count N] [--minutes M]

Prints how many models were compared, what was refused and skipped and why, and every finding with its seed; exits 1
if there is one. The same seed gives the same model.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from keras_fuzz import run, table  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=None, help="the first seed (default: a random one)")
    parser.add_argument("--count", type=int, default=100, help="how many models (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=None, help="stop after this many minutes")
    chosen = parser.parse_args()
    first = random.randrange(10**8) if chosen.seed is None else chosen.seed
    print(f"seeds from {first}", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = run(range(first, first + chosen.count), Path(folder), chosen.minutes, progress=True)
    print(table(outcomes, time.monotonic() - started))
    return int(any(outcome.findings for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
