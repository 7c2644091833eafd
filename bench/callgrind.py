"""`python -m bench.callgrind`: instruction counts of fixed kernels against the committed ones.

Counts, not seconds: they are the same on a busy machine. Scalar and AVX2 kernels run under valgrind; it does
not know AVX-512, whose inner loops are counted in the disassembly instead. `--update` takes the counts anew.
Counts depend on the compiler, the C library and the instruction sets at hand: where these differ from what
was counted with, the check is skipped and says so. Exit code: 0 (also when skipped); 1 if a count rose by
more than the margin or nothing could be built.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .ceilings import compiler
from .innerloops import inner_loops
from .worker import ROOT

sys.path.insert(0, str(ROOT / "tools"))
from cbuild import Build, BuildError, compile_core  # noqa: E402

COUNTS = Path(__file__).parent / "instructions.json"
DRIVER = Path(__file__).parent / "native" / "counted_run.c"
# A count wavers by the paths that the C library's memcpy takes on another CPU: some 0.1 %. A spilled register
# or a lost unrolling in an inner loop adds 5 % and more.
MARGIN = 0.02
ISAS = ("scalar", "avx2")
# dtype, kind, activation, inputs, hidden, batch, steps: one row, tiles, odd sizes, general cells.
CASES = (
    ("float32", "lstm", "tanh", 64, 64, 1, 20),
    ("float32", "lstm", "tanh", 64, 64, 8, 20),
    ("float32", "lstm", "tanh", 30, 50, 3, 20),
    ("float32", "lstm", "tanh", 256, 256, 6, 4),
    ("float32", "lstm", "relu", 64, 64, 4, 20),
    ("float64", "lstm", "tanh", 64, 64, 4, 20),
    ("float32", "gru", "tanh", 64, 64, 1, 20),
    ("float32", "gru", "tanh", 64, 64, 8, 20),
    ("float32", "rnn", "tanh", 64, 64, 4, 20),
    ("float32", "dense", "linear", 64, 256, 12, 20),
    ("float32", "dense", "softmax", 64, 1000, 4, 5),
)


class Unable(Exception):
    """Why nothing can be counted here."""


def _output(command: Sequence[str], **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def stamp() -> dict[str, str]:
    """What counts depend on. Raises Unable where a tool is missing."""
    import lstm_engine as le

    for tool in (compiler()[0], "valgrind", "objdump"):
        if not shutil.which(tool):
            raise Unable(f"{tool} is not installed")
    return {
        "compiler": _output([*compiler(), "--version"]).splitlines()[0],
        "machine": platform.machine(),
        "instruction sets": " ".join(isa for isa in ISAS if isa in le.info()["isas"]),
        "libc": " ".join(platform.libc_ver()),
        "valgrind": _output(["valgrind", "--version"]).strip(),
    }


def link(objects: Sequence[Path], driver: Path) -> None:
    flags = ["-std=c11", "-O1", f"-I{ROOT / 'csrc/include'}"]
    _output([*compiler(), *flags, str(DRIVER), *map(str, objects), "-lm", "-lpthread", "-o", str(driver)])


def count(driver: Path, isa: str, case: Sequence[Any]) -> int | None:
    """Instructions of one run; None if this core does not have the kind of layer."""
    arguments = [str(part) for part in case]
    plain = subprocess.run([str(driver), isa, *arguments], capture_output=True, text=True)
    if plain.returncode == 3:
        return None
    if plain.returncode or float(plain.stdout) == 0:
        raise RuntimeError(
            f"{isa} {' '.join(arguments)}: {plain.stderr.strip() or 'the outputs are all zero'}"
        )
    with tempfile.NamedTemporaryFile("r") as out:
        _output(
            [
                "valgrind",
                "--tool=callgrind",
                "--toggle-collect=counted_run",
                f"--callgrind-out-file={out.name}",
                str(driver),
                isa,
                *arguments,
            ]
        )
        totals = [line for line in out.read().splitlines() if line.startswith("totals:")]
    return int(totals[0].split()[1])


def measure() -> dict[str, Any]:
    """Counts by name, with the stamp. Raises Unable, RuntimeError for what cannot be built or run."""
    here = stamp()
    made: dict[str, Any] = {"stamp": here, "callgrind": {}, "inner_loops": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        driver = folder / "counted_run"
        try:
            objects = compile_core(Build("counted", compiler=compiler()), folder)
        except BuildError as error:
            raise RuntimeError(str(error)) from None
        link(objects, driver)
        for isa in here["instruction sets"].split():
            for case in CASES:
                counted = count(driver, isa, case)
                if counted is not None:
                    dtype, kind, activation, inputs, hidden, batch, steps = case
                    made["callgrind"][
                        f"{isa} {kind} {activation} {dtype} I{inputs} H{hidden} B{batch} T{steps}"
                    ] = counted
        for function, loops in inner_loops([path for path in objects if "kernels_avx512" in path.name]).items():
            made["inner_loops"][function] = {
                "loops": len(loops),
                "fmas": sum(loop.fmas for loop in loops),
                "instructions": sum(loop.instructions for loop in loops),
            }
    return made


def _ratio(loops: dict[str, int]) -> float:
    return loops["instructions"] / loops["fmas"]


def compare(old: dict[str, Any], new: dict[str, Any], margin: float) -> tuple[list[str], list[str]]:
    """What got worse by more than the margin or is gone, and remarks on what got better or is new."""
    worse, remarks = [], []
    for part, value, unit in (
        ("callgrind", float, "instructions"),
        ("inner_loops", _ratio, "instructions per multiply-add in inner loops"),
    ):
        for name, before in old[part].items():
            if name not in new[part]:
                worse.append(f"{name}: no longer there; take the counts anew with --update")
                continue
            was, now = value(before), value(new[part][name])
            text = f"{name}: {was:,.6g} -> {now:,.6g} {unit} ({now / was - 1:+.1%})"
            if now > was * (1 + margin):
                worse.append(text)
            elif now < was * (1 - margin):
                remarks.append(f"{text}: fewer; --update keeps it so")
        remarks += [
            f"{name}: not counted before; --update takes it in" for name in new[part] if name not in old[part]
        ]
    return worse, remarks


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.callgrind", description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--update", action="store_true", help="write the counts of this tree to bench/instructions.json"
    )
    parser.add_argument(
        "--margin", type=float, default=MARGIN, help=f"share by which a count may rise ({MARGIN})"
    )
    arguments = parser.parse_args(argv)
    try:
        here = stamp()
        old = None if arguments.update or not COUNTS.exists() else json.loads(COUNTS.read_text())
        if old and old["stamp"] != here:
            differs = "; ".join(
                f"{key} {old['stamp'].get(key)} there, {here[key]} here"
                for key in here
                if old["stamp"].get(key) != here[key]
            )
            raise Unable(f"the committed counts were taken with another {differs}")
        new = measure()
    except Unable as reason:
        print(f"skipped: {reason}")
        return 1 if arguments.update else 0
    except RuntimeError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    if old is None:
        COUNTS.write_text(json.dumps(new, indent=1) + "\n")
        print(
            f"{len(new['callgrind'])} counts and {len(new['inner_loops'])} functions' inner loops "
            f"written to {COUNTS}"
        )
        return 0
    worse, remarks = compare(old, new, arguments.margin)
    print(
        "\n".join(
            [*remarks, *(f"WORSE: {line}" for line in worse)]
            or [
                f"{len(new['callgrind'])} counts and {len(new['inner_loops'])} functions' inner loops "
                "as committed"
            ]
        )
    )
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
