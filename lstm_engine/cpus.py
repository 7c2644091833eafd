"""How many CPUs this process may use: its affinity mask, capped by the CPU quotas of its control groups."""

from __future__ import annotations

import os
from collections.abc import Iterator


def usable_cpus(root: str = "/") -> int:
    """CPUs of the affinity mask, capped by the tightest quota of the process' cgroup and those above it.

    Quotas are rounded down, but to one: threads that use up a quota of 1.5 CPUs together stand still for the last
    quarter of every period (100 ms, as a rule), which is worse than one thread that never does.

    root: where /proc and /sys are found.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([cpus, *(max(1, quota // period) for quota, period in _quotas(root))])


def _quotas(root: str) -> Iterator[tuple[int, int]]:
    """(quota, period) in us of every group that has one, cgroup v2 and v1."""
    for line in _text(os.path.join(root, "proc/self/cgroup")).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:                                  # v2
            for folder in _upwards(os.path.join(root, "sys/fs/cgroup"), path):
                yield from _pair(*_text(os.path.join(folder, "cpu.max")).split()[:2])
        elif "cpu" in controllers.split(","):                # v1, mounted under all its names or its own
            for name in dict.fromkeys((controllers, "cpu", "cpu,cpuacct")):
                for folder in _upwards(os.path.join(root, "sys/fs/cgroup", name), path):
                    yield from _pair(_text(os.path.join(folder, "cpu.cfs_quota_us")).strip(),
                                     _text(os.path.join(folder, "cpu.cfs_period_us")).strip())


def _upwards(top: str, path: str) -> Iterator[str]:
    """A group and those above it. In a container the path may be the host's, of which only the top is to be seen."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    for count in range(len(parts), -1, -1):
        yield os.path.join(top, *parts[:count])


def _pair(*numbers: str) -> Iterator[tuple[int, int]]:
    """Quota and period, where both are positive numbers ("max" and -1 stand for none)."""
    if len(numbers) == 2 and all(number.isascii() and number.isdigit() and int(number) > 0 for number in numbers):
        yield int(numbers[0]), int(numbers[1])


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
