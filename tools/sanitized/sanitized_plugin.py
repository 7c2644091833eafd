"""The pytest plugin of tools/sanitize_extension.py: which libraries its process has, which tests are left out there."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnxruntime_elsewhere
import pytest

# Large libraries that nobody instrumented: tests that import them skip themselves, as where they are not installed.
ABSENT = ("torch", "keras", "tensorflow", "tf_keras", "openvino", "onnxscript")
# Why a test is left out, by the beginning of its name.
LEFT_OUT = {
    "tests/unit/test_structure.py": "compiles and reads sources; nothing of the engine runs",
    "tests/unit/test_caches.py::test_no_operator_keeps_something":
        "traces each allocation of thousands of NumPy calls, which takes minutes here, and runs no line of the core",
    "tests/hostile/test_attacks.py::test_the_judge_sees":
        "crashes on purpose, and measures memory",
    "tests/unit/test_weights_held.py::test_resident_memory":
        "measures resident memory, where the sanitizer keeps what was freed and its own books",
}

for name in ABSENT:
    sys.modules[name] = None                               # type: ignore[assignment]  # importing it raises
sys.modules["onnxruntime"] = onnxruntime_elsewhere


def pytest_configure(config: pytest.Config) -> None:
    from lstm_engine import _core

    folder = os.environ["LSTM_ENGINE_SANITIZED"]
    if not (_core.__file__ or "").startswith(folder):
        raise pytest.UsageError(f"the extension comes from {_core.__file__}, not from {folder}, where the one with "
                                "sanitizers was built")
    if not re.search(rb"__(asan_report|ubsan_handle|tsan_write)", Path(_core.__file__).read_bytes()):
        raise pytest.UsageError(f"{_core.__file__} was built without sanitizers")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for beginning, reason in LEFT_OUT.items():
            if item.nodeid.startswith(beginning):
                item.add_marker(pytest.mark.skip(reason=f"under a sanitizer: {reason}"))


def _reasons(reports: list[Any]) -> Iterator[str]:
    for report in reports:
        if isinstance(report.longrepr, tuple):             # (path, line, reason)
            yield report.longrepr[2]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    absent = [reason for reason in _reasons(skipped) if "could not import" in reason]
    left = [reason for reason in _reasons(skipped) if "under a sanitizer: " in reason]
    terminalreporter.section("under the sanitizer")
    terminalreporter.write_line(f"{len(absent)} tests or whole files were skipped because they need "
                                f"{', '.join(ABSENT)}; {len(left)} for the reasons in sanitized_plugin.py")
