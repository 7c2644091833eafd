"""Fuzzes readers, runs and calls, or repeats one input; exit code 1 after a finding.

    python tools/fuzz/run.py --minutes M [TARGET ...]     all targets, or some; M in all, in equal shares
    python tools/fuzz/run.py TARGET FILE                  one input again, by the rule, without a fuzzer around it
    python tools/fuzz/run.py --smaller TARGET FILE        FILE made as small as it goes with the same finding
    python tools/fuzz/run.py --list                       the targets, and what each is about
    python tools/fuzz/run.py --dictionary TARGET          its words, as libFuzzer reads them

Prints a table: target, executions, minutes, corpus, findings. Inputs found, and the corpus as it grows, are in --work.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parent), str(HERE.parents[1]), str(HERE.parents[1] / "tests" / "support"),
               *(entry for entry in sys.path if entry != str(HERE))]

from fuzz import campaign, findings, rule, targets  # noqa: E402
from fuzz.child import dictionary  # noqa: E402

SMALLER_SECONDS = 20.0


def repeat(name: str, file: Path) -> rule.Finding | str:
    """What becomes of one input."""
    return rule.Judge(targets.load(name).execute)(file.read_bytes())


def smaller(name: str, file: Path) -> rule.Finding | str:
    """Make a file smaller while it shows the same; what it shows, or what became of it where that is no finding."""
    judge = rule.Judge(targets.load(name).execute)
    found = judge(file.read_bytes())
    if isinstance(found, rule.Finding):
        def fails(data: bytes) -> bool:
            outcome = judge(data)
            return isinstance(outcome, rule.Finding) and outcome.key == found.key
        file.write_bytes(findings.smaller(file.read_bytes(), fails, SMALLER_SECONDS))
    return found


def sanitized(names: str, work: Path) -> dict:
    """Build the extension in a copy of the tree with gcc's sanitizers; how children use it."""
    import sanitize_extension as tool

    preloaded = tool.runtimes(names)
    folder, reports = work / "sanitized", work / "reports"
    tool.copy_tree(tool.ROOT, folder)
    if not tool.build(folder, names):
        raise SystemExit(f"the extension could not be built with {names}")
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir()
    if atheris := importlib.util.find_spec("atheris"):
        # libFuzzer first: both libraries define the functions that count coverage.
        library = next(Path(atheris.origin or "").parent.glob("core_with_libfuzzer*.so"))
        preloaded = [str(library), *preloaded]
    environment = tool.environment(folder, preloaded, reports)
    # Sizes that nobody has are refused as plainly, and what is freed is kept for a while, but not by the gigabyte.
    environment["ASAN_OPTIONS"] += ":verify_asan_link_order=0:quarantine_size_mb=16:max_allocation_size_mb=2048" \
                                   ":hard_rss_limit_mb=6000"
    return {"tree": folder, "environment": environment, "sanitized": True, "reports": reports}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="TARGET [FILE]")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--seed", type=int, default=None, help="of every random choice (default: from the clock)")
    parser.add_argument("--engine", choices=("atheris", "own"), default=None, help="default: atheris, if installed")
    parser.add_argument("--sanitize", metavar="NAMES", help="fuzz an extension built with gcc's -fsanitize=NAMES "
                                                            "(address) in a copy of the tree")
    parser.add_argument("--work", type=Path, default=campaign.ROOT / "build" / "fuzz", help="default: build/fuzz")
    parser.add_argument("--no-whole", action="store_true", help="leave out targets that start a process an execution")
    parser.add_argument("--smaller", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--dictionary", metavar="TARGET")
    given = parser.parse_args()
    if given.list:
        for name in targets.FILES:
            print(f"{name:14}{targets.load(name).about}")
        return 0
    if given.dictionary:
        print(dictionary(targets.load(given.dictionary).words), end="")
        return 0
    names = [word for word in given.words if word in targets.FILES]
    if given.minutes is None:
        if len(given.words) != 2 or not names:
            parser.error(f"give --minutes, or a target and a file; targets: {', '.join(targets.FILES)}")
        name, file = given.words[0], Path(given.words[1])
        outcome = (smaller if given.smaller else repeat)(name, file)
        print(f"{outcome.key}\n{outcome.text}" if isinstance(outcome, rule.Finding) else outcome)
        return isinstance(outcome, rule.Finding)
    if unknown := set(given.words) - set(names):
        parser.error(f"{', '.join(sorted(unknown))}: no target; there are {', '.join(targets.FILES)}")
    return fuzz(given, names or [name for name in targets.FILES if not (given.no_whole and name.endswith("-whole"))])


def fuzz(given: argparse.Namespace, names: list[str]) -> int:
    seed = int(time.time()) if given.seed is None else given.seed
    work = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    how = sanitized(given.sanitize, work) if given.sanitize else {"environment": dict(os.environ)}
    plan = campaign.Plan(given.engine or campaign.engine_here(), work, seed, **how)
    print(f"{plan.engine}{f' with {given.sanitize}' if given.sanitize else ''}, seed {seed}, {given.minutes:g} minutes "
          f"over {len(names)} targets\n{campaign.HEADING}", flush=True)
    rows = campaign.run(names, plan, given.minutes)
    total = campaign.Row("all", sum(row.executions for row in rows), sum(row.seconds for row in rows),
                         sum(row.corpus for row in rows), [path for row in rows for path in row.findings],
                         sum(row.growth for row in rows))
    print(campaign.line(total))
    for path in total.findings:
        print(f"\n{path.with_suffix('.txt').read_text()[:3000]}")
    return bool(total.findings) or any(row.problem for row in rows)


if __name__ == "__main__":
    sys.exit(main())
