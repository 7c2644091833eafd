"""`python -m bench.limits`: this machine's ceilings, and each cell of the grid as a share of its limit.

The limit of a recurrent layer, per step, on n cores (B rows, H units, I inputs, g gates, s bytes a weight):

    t = max(2g B H^2 / (n P), g H^2 s / (n BW(g H^2 s / n))) + 2g B H I / (n P) + B H cell / n + barrier

P: multiply-add rate of a core; BW(size): what a core reads from a working set of that size; cell: the time of
a hidden unit's activations. A step on its own reads the input weights as well; a first step begins with a zero
state and needs nothing of R. A call of T steps: T t + call.
The best of 1 to n cores. Each constant is the better of the one measured now and the one below, so that noise
cannot make a limit easy.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .ceilings import KIB, Ceilings, measure_ceilings
from .cells import GRID_BATCH, GRID_HIDDEN, choose
from .engines import OWN
from .machine import machine, sentence
from .table import Row, geometric_mean, lines

# Had on a core of a 2-core Cascade Lake machine (AVX-512, 1 MiB L2): a floor under what is measured.
FMA_GFLOPS = 154.0  # float32 multiply-adds
VNNI_GOPS = 614.0  # int8 multiply-adds
CELL_NS = 1.65  # sigmoid x3, tanh x2, c and h of one hidden unit, divides shared
BARRIER_US = 0.11  # two threads, spinning
CALL_US = 0.2  # a compiled function called from Python (34 ns), an array checked (29), one made (136)
READ_GBPS = {  # working set -> GB/s of each core, all cores reading
    32 * KIB: 265.0,
    48 * KIB: 105.0,
    768 * KIB: 105.0,
    1024 * KIB: 79.0,
    1536 * KIB: 47.0,
    2048 * KIB: 38.0,
    8192 * KIB: 24.0,
}
KNOWN = Ceilings(
    fma={1: FMA_GFLOPS, 2: FMA_GFLOPS},
    read={1: READ_GBPS, 2: READ_GBPS},
    barrier={1: 0.0, 2: BARRIER_US},
    call=CALL_US,
)
GATES = {"lstm": 4, "gru": 3}


def interpolate(rates: Mapping[int, float], size: float) -> float:
    """The rate at a working set of `size` bytes: linear in the logarithms, flat beyond the ends."""
    points = sorted(rates.items())
    if size <= points[0][0]:
        return points[0][1]
    for (low, slow), (high, fast) in zip(points, points[1:]):
        if size <= high:
            share = math.log(size / low) / math.log(high / low)
            return math.exp(math.log(slow) * (1 - share) + math.log(fast) * share)
    return points[-1][1]


class Limit:
    """The limits that follow from the better of two sets of ceilings. `threads`: cores at most."""

    def __init__(self, measured: Ceilings, threads: int, known: Ceilings = KNOWN) -> None:
        self.measured, self.known, self.threads = measured, known, threads

    def fma(self, cores: int) -> float:
        return max(own.fma[min(cores, max(own.fma))] for own in (self.measured, self.known))

    def read(self, cores: int, size: float) -> float:
        return max(
            interpolate(own.read[min(cores, max(own.read))], size) for own in (self.measured, self.known)
        )

    def barrier(self, cores: int) -> float:
        if cores == 1:
            return 0.0
        return min(
            own.barrier[max(own.barrier)] for own in (self.measured, self.known) if max(own.barrier) > 1
        )

    def cell_ns(self, cores: int) -> float:
        """Activations are arithmetic too: faster on a core that multiplies faster than the known one."""
        return CELL_NS * min(1.0, FMA_GFLOPS / self.fma(cores))

    def step(
        self,
        batch: int,
        hidden: int,
        inputs: int,
        *,
        kind: str = "lstm",
        alone: bool = False,
        first: bool = False,
        weight_bytes: int = 4,
        rate: float | None = None,
    ) -> float:
        """us of one step. alone: a call of its own. first: from a zero state. rate: operations per ns of a core, if not
        the float32 multiply-adds'."""
        return min(
            self._step(n, batch, hidden, inputs, GATES[kind], alone, first, weight_bytes, rate)
            for n in range(1, self.threads + 1)
        )

    def _step(
        self,
        n: int,
        batch: int,
        hidden: int,
        inputs: int,
        gates: int,
        alone: bool,
        first: bool,
        weight_bytes: int,
        rate: float | None,
    ) -> float:
        per_us = 1e3 * n * (rate or self.fma(n))
        recurrent, projected = (
            2 * gates * batch * hidden * hidden / per_us,
            2 * gates * batch * hidden * inputs / per_us,
        )
        recurrent = 0.0 if first else recurrent
        weights = gates * hidden * ((0 if first else hidden) + (inputs if alone else 0)) * weight_bytes
        reading = weights / (1e3 * n * self.read(n, weights / n))
        arithmetic = max(recurrent + projected, reading) if alone else max(recurrent, reading) + projected
        return arithmetic + batch * hidden * self.cell_ns(n) * 1e-3 / n + self.barrier(n)

    def call(self, batch: int, hidden: int, inputs: int, steps: int, kind: str = "lstm") -> float:
        """us of one call of `steps` steps from Python."""
        first = self.step(batch, hidden, inputs, kind=kind, alone=steps == 1, first=True)
        others = (steps - 1) * self.step(batch, hidden, inputs, kind=kind)
        return first + others + min(self.measured.call, self.known.call)

    def carried(self, batch: int, hidden: int, inputs: int) -> float:
        """us of a call of one step of an LSTM, its state that of the step before."""
        return self.step(batch, hidden, inputs, alone=True) + min(self.measured.call, self.known.call)


def shares(rows: Sequence[Row], limit: Limit) -> list[dict[str, Any]]:
    """Our float32 rows of single layers (groups lstm, gru, odd, stream) with `limit_us` and `share` of it.

    Where peers are among the rows, `most` is the speed-up over the best of them that the limit allows.
    """
    found = []
    made = {line.cell: line for line in lines(rows) if line.threads == limit.threads}
    for row in rows:
        group = row["cell"].split("/")[0]
        kind = {"lstm": "lstm", "odd": "lstm", "stream": "lstm", "gru": "gru"}.get(group)
        float32 = row.get("dtype", "float32") == "float32"
        if kind and float32 and row["engine"] == OWN[0] and row["threads"] == limit.threads:
            sizes = row["batch"], row["hidden"], row["inputs"]
            at_best = limit.carried(*sizes) if group == "stream" else limit.call(*sizes, row["steps"], kind)
            line = made[row["cell"]]
            most = line.us[line.best_peer] / at_best if line.best_peer else None
            found.append(
                {
                    **row,
                    "limit_us": at_best,
                    "share": at_best / row["median_us"],
                    "speed_up": line.speed_up,
                    "most": most,
                }
            )
    return found


def median(values: Sequence[float]) -> float:
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def format_ceilings(ceilings: Ceilings) -> str:
    text = [
        "ceiling, each core".ljust(28) + "".join(f"{n} busy".rjust(10) for n in ceilings.fma) + "     known"
    ]
    text.append(
        "multiply-add, GFLOP/s".ljust(28)
        + "".join(f"{v:10.0f}" for v in ceilings.fma.values())
        + f"{FMA_GFLOPS:10.0f}"
    )
    for size in next(iter(ceilings.read.values())):
        name = f"read {size // KIB} KiB, GB/s"
        rates = "".join(f"{own[size]:10.0f}" for own in ceilings.read.values())
        text.append(name.ljust(28) + rates + f"{interpolate(READ_GBPS, size):10.0f}")
    text.append(
        "spin barrier, us".ljust(28)
        + "".join(f"{v:10.2f}" for v in ceilings.barrier.values())
        + f"{BARRIER_US:10.2f}"
    )
    text.append(
        "call with an array, us".ljust(28)
        + f"{ceilings.call:10.2f}".ljust(10 * len(ceilings.fma))
        + f"{CALL_US:10.2f}"
    )
    return "\n".join(text)


def _us(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def format_steps(limit: Limit) -> str:
    """The limits of one step among many, I = H: us, float32 / int8."""
    text = ["limit, us a step".ljust(18) + "".join(f"B={batch}".rjust(18) for batch in GRID_BATCH)]
    for hidden in GRID_HIDDEN:
        pairs = [
            (
                limit.step(batch, hidden, hidden),
                limit.step(batch, hidden, hidden, weight_bytes=1, rate=VNNI_GOPS),
            )
            for batch in GRID_BATCH
        ]
        text.append(
            f"H={hidden}".ljust(18) + "".join(f"{_us(full)} / {_us(int8)}".rjust(18) for full, int8 in pairs)
        )
    return "\n".join(text)


def format_shares(found: Sequence[Mapping[str, Any]]) -> str:
    text = ["cell".ljust(22) + "limit us".rjust(12) + "ours us".rjust(12) + "share".rjust(8)]
    peers = any(row["most"] for row in found)
    text[0] += "speed-up".rjust(10) + "at most".rjust(10) if peers else ""
    for row in found:
        text.append(f"{row['cell']:22}{row['limit_us']:12.2f}{row['median_us']:12.2f}{row['share']:8.0%}")
        text[-1] += f"{row['speed_up']:10.2f}{row['most']:10.2f}" if row["most"] else ""
    if found:
        text.append(
            f"median share of the limit: {median([row['share'] for row in found]):.0%} "
            f"over {len(found)} cells"
        )
    if peers:
        text.append(
            f"geometric mean speed-up {geometric_mean(row['speed_up'] for row in found if row['most']):.2f}, "
            f"at the limit {geometric_mean(row['most'] for row in found if row['most']):.2f}"
        )
    return "\n".join(text)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.limits", description=__doc__.split("\n\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cells", nargs="+", default=["lstm"], metavar="PATTERN")
    parser.add_argument(
        "--rows",
        type=Path,
        metavar="FILE",
        help="take the times from bench.peers --json, or from a report's data.json",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.05, help="for one cell in one round (0.05)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args(argv)
    about = machine()
    print(sentence(about), file=sys.stderr)
    ceilings = measure_ceilings(arguments.threads)
    limit = Limit(ceilings, arguments.threads)
    print(format_ceilings(ceilings), format_steps(limit), sep="\n\n")
    if arguments.rows:
        stored = json.loads(arguments.rows.read_text())
        rows = stored["rows"] if "rows" in stored else stored["peers"]
    else:
        from .peers import measure

        rows = measure(
            choose(arguments.cells),
            [OWN[0]],
            [arguments.threads],
            "float32",
            arguments.rounds,
            arguments.seconds,
        ).rows
    found = shares(rows, limit)
    print("\n" + format_shares(found))
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"machine": about, "ceilings": ceilings.as_json(), "shares": found}, indent=1) + "\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
