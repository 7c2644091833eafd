"""The number of CPUs a process may use, from trees of files as the kernel shows them."""

import os

import pytest

from lstm_engine import cpus

V1 = "4:memory:/a\n3:cpu,cpuacct:/docker/b\n0::/\n"
CASES = {
    "no control groups": ({}, 8),
    "v2, no quota": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
    "v2 at the top": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "300000 100000\n"}, 3),
    "v2, a part of a CPU counts as one": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
    "v2, rounded down": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "250000 100000"}, 2),
    "v2, its own group": ({"proc/self/cgroup": "0::/user/one\n", "sys/fs/cgroup/user/one/cpu.max": "200000 100000",
                           "sys/fs/cgroup/user/cpu.max": "max 100000"}, 2),
    "v2, the group above is tighter": ({"proc/self/cgroup": "0::/user/one\n",
                                        "sys/fs/cgroup/user/one/cpu.max": "600000 100000",
                                        "sys/fs/cgroup/user/cpu.max": "400000 100000"}, 4),
    "v2, a path of the host": ({"proc/self/cgroup": "0::/../../kubepods/pod\n",
                                "sys/fs/cgroup/cpu.max": "200000 100000"}, 2),
    "v2, more than the mask": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "9900000 100000"}, 8),
    "v1": ({"proc/self/cgroup": V1, "sys/fs/cgroup/cpu,cpuacct/docker/b/cpu.cfs_quota_us": "200000\n",
            "sys/fs/cgroup/cpu,cpuacct/docker/b/cpu.cfs_period_us": "100000\n"}, 2),
    "v1 under a short name, in a container": ({"proc/self/cgroup": V1, "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "500000",
                                               "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 5),
    "v1, no quota": ({"proc/self/cgroup": V1, "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                      "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 8),
    "not numbers": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "\xff 0\n"}, 8),
    "a period of 0": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000 0\n"}, 8),
    "a file cut off": ({"proc/self/cgroup": "0::/\n3", "sys/fs/cgroup/cpu.max": "100000"}, 8),
}


@pytest.mark.parametrize("case", CASES)
def test_quota(case, tmp_path, monkeypatch):
    files, expected = CASES[case]
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="latin-1")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert cpus.usable_cpus(str(tmp_path)) == expected


def test_affinity_is_the_most(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {5}, raising=False)
    assert cpus.usable_cpus(str(tmp_path)) == 1
