"""What a page of figures must state: the machine, the versions, the day."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = found.get("model name", platform.machine())
    family = ", ".join(f"{key} {found[key]}" for key in ("cpu family", "model") if key in found)
    return f"{name} ({family})" if family else name


def caches() -> dict[str, int]:
    """Bytes of the caches that the first CPU sees: {"L1d": ..., "L2": ..., "L3": ...}."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind = (index / "level").read_text().strip(), (index / "type").read_text().strip()
        if kind != "Instruction":
            size = (index / "size").read_text().strip()
            found["L" + level + ("d" if kind == "Data" else "")] = (
                int(size[:-1]) * {"K": 2**10, "M": 2**20}[size[-1]]
            )
    return found


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit() -> str | None:
    """The commit of the work tree, with "+" where files differ from it; None outside a work tree."""
    root = Path(__file__).resolve().parents[1]
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True, check=True
        )
        dirty = subprocess.run(
            ["git", "status", "--porcelain", "-uno"], cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def machine() -> dict[str, Any]:
    """CPU, caches, cores, load, system, Python, date and what lstm_engine.info() says."""
    import lstm_engine as le

    packages = ("numpy", "onnxruntime", "torch", "openvino", "onnx")
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "caches": caches(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "lstm_engine": le.info(),
        "versions": {package: _version(package) for package in packages if _version(package)},
    }


def sentence(about: dict[str, Any]) -> str:
    """The same in one line."""
    cached = ", ".join(f"{name} {size // 1024} KiB" for name, size in about["caches"].items())
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    own = about["lstm_engine"]
    return (
        f"{about['cpu']}, {about['cores']} cores, {cached}; {about['system']}, Python {about['python']}; "
        f"lstm-engine {own['version']} ({own['isa']}, commit {about['commit']}), {versions}; "
        f"{about['date']}, load {about['load']}"
    )
