"""Timing a callable: warm-up, batches of calls long enough for the clock, us per call."""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

# A timing spans at least this much, so that the clock (some 50 ns a reading) and one interrupt do not count.
SHORTEST_NS = 1_000_000
# Long enough for another engine's spinning threads to fall asleep and for this one's to be awake.
WARM_UP_NS = 20_000_000
MAX_TIMINGS = 400
# Calls this slow are timed once a round: rounds, minutes apart, say more about noise than repeats do.
SLOW_NS = 100_000_000


def time_calls(call: Callable[[], Any], seconds: float) -> list[float]:
    """Times per call, us, one for each batch of calls: for `seconds`, at least 3 (1 if a call is slow)."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        fastest = _warm_up(call)
        calls = max(1, -(-SHORTEST_NS // max(fastest, 1)))
        least = 1 if fastest >= SLOW_NS else 3
        times: list[float] = []
        end = perf_counter_ns() + int(seconds * 1e9)
        repeat = range(calls)
        while len(times) < least or (perf_counter_ns() < end and len(times) < MAX_TIMINGS):
            start = perf_counter_ns()
            for _ in repeat:
                call()
            times.append((perf_counter_ns() - start) / calls / 1e3)
        return times
    finally:
        if collecting:
            gc.enable()


def _warm_up(call: Callable[[], Any]) -> int:
    """Run for WARM_UP_NS, at least once; returns the ns of the fastest call."""
    start, fastest = perf_counter_ns(), 1 << 62
    while True:
        before = perf_counter_ns()
        call()
        now = perf_counter_ns()
        fastest = min(fastest, now - before)
        if now - start >= WARM_UP_NS:
            return fastest


def single_calls(call: Callable[[], Any], count: int) -> list[float]:
    """The time of each of `count` calls, us, after a warm-up: what percentiles are taken of."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        _warm_up(call)
        times = [0] * count
        for i in range(count):
            start = perf_counter_ns()
            call()
            times[i] = perf_counter_ns() - start
        return [t / 1e3 for t in times]
    finally:
        if collecting:
            gc.enable()
