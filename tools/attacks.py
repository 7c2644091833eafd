"""Every attack of tests/hostile/attacks in a process of its own: what came of it, in how many milliseconds and MB.

    python tools/attacks.py [part of a name ...] [--write]

Prints a line an attack and exits 1 if one ended otherwise than it must. --write: writes docs/attacks.md, if all ran and
none was wrong.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support"), str(ROOT / "tests" / "hostile")]

from attacks.cases import TABLES  # noqa: E402
from attacks.page import page, summary  # noqa: E402
from attacks.run import Outcome, outcomes  # noqa: E402


def machine() -> str:
    """What CPU this is."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n")
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def line(outcome: Outcome) -> str:
    report = outcome.report
    text = f"{outcome.attack.format}: {outcome.attack.name}  [{outcome.attack.source}]  {outcome.text:.120}"
    return f"{report.get('ms', 0):7,.0f} ms {report.get('mb', 0):6,.1f} MB  {text}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="parts of names or formats (default: all)")
    parser.add_argument("--write", action="store_true", help="write docs/attacks.md")
    given = parser.parse_args()
    measured, wrong = {}, 0
    for table in TABLES:
        chosen = [attack for attack in table.attacks
                  if not given.names or any(name in f"{attack.format} {attack.name}" for name in given.names)]
        if not chosen:
            continue
        with tempfile.TemporaryDirectory() as folder:
            for outcome in outcomes(table, Path(folder), chosen):
                measured[outcome.attack.key] = outcome.report.get("ms", 0.0), outcome.report.get("mb", 0.0)
                print(line(outcome), *(f"    WRONG: {fault}" for fault in outcome.wrong), sep="\n", flush=True)
                wrong += bool(outcome.wrong)
    attacks = [attack for table in TABLES for attack in table.attacks if attack.key in measured]
    print(summary(attacks), f"Wrong: {wrong}.")
    if given.write and not wrong and not given.names:
        (ROOT / "docs" / "attacks.md").write_text(page(TABLES, measured, machine()), encoding="utf-8")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
