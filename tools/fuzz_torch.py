"""Random torch modules with forwards of their own, against torch.

    python tools/fuzz_torch.py [--seed N] [--count N] [--minutes M] [--operators N [--forms live,pt2,...]]

Each seed is a random composition of the blocks in tests/support/torch_programs.py, live and through a `.pt2` file,
checked as the tests do: several batch and time sizes, saved and loaded. With --operators each seed is a chain of that
many functions of tests/support/torch_functions.py and layers, in five forms: live, `.pt2`, traced TorchScript, ONNX by
the newer exporter (dynamo) and by the older one (script); tests/support/torch_fuzz.py says how. Of each kind of failure
the first is printed, with the function it began at.
Prints every seed that fails, then how many were tried; exits 1 if any failed.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, help="the first seed (default: a random one)")
    parser.add_argument("--count", type=int, default=100, help="how many modules (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after this many minutes")
    parser.add_argument("--operators", type=int, help="how many functions a program has; without, blocks are composed")
    parser.add_argument("--forms", default="live,pt2,traced,dynamo,script", help="of such programs (%(default)s)")
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support"), str(ROOT / "tests" / "differential")]
    warnings.simplefilter("ignore")
    first = options.seed if options.seed is not None else random.randrange(10**6)
    ends = time.monotonic() + 60 * options.minutes
    if options.operators is not None:
        return _in_forms(first, options.count, options.operators, options.forms.split(","), ends)
    return _of_blocks(first, options.count, ends)


def _of_blocks(first: int, count: int, ends: float) -> int:
    from test_torch_programs import check
    from torch_program_cases import composed

    begun, seed, failed = time.monotonic(), first, 0
    while seed < first + count and time.monotonic() < ends:
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


def _in_forms(first: int, count: int, operators: int, forms: list[str], ends: float) -> int:
    from torch_fuzz import Made, alone, first_bad, names_of, tried

    begun, seed, failed = time.monotonic(), first, 0
    taken: dict[str, set[str]] = {}
    came: Counter[str] = Counter()
    known: set[tuple[str, ...]] = set()
    for form in forms:
        of = alone(form)
        taken[form] = {name for name, found in of.items() if found.what == "right"}
        for name, found in of.items():
            failed += found.what == "wrong"
            if found.what in ("wrong", "refused"):
                print(f"{form} {name!r} alone: {found.what}: {found.said:.300}", flush=True)
        print(f"{form} takes {len(taken[form])} of {len(of)} functions and layers alone; "
              f"{dict(Counter(found.what for found in of.values()))}", flush=True)
    while seed < first + count and time.monotonic() < ends:
        names = names_of(seed, operators)
        for form in forms:
            left = [name for name in names if name in taken[form]]
            found = tried(form, Made(left, seed).eval())
            came[f"{form} {found.what}"] += 1
            if found.what in ("wrong", "refused"):
                failed += found.what == "wrong"
                at = first_bad(form, left, seed, found.what)
                if (form, found.what, at) not in known:
                    known.add((form, found.what, at))
                    print(f"seed {seed} {form}, from {at!r} on: {found.what}: {found.said:.300}", flush=True)
        seed += 1
    minutes = (time.monotonic() - begun) / 60
    print(f"{seed - first} programs of {operators} operators from seed {first} on in {minutes:.1f} minutes, "
          f"{failed} failed; {', '.join(f'{what} {number}' for what, number in sorted(came.items()))}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
