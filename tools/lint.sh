#!/usr/bin/env bash
# What is wrong with the sources, told without running them: ruff; mypy --strict on the package; the stub of the bindings
# beside the bindings themselves, which must have been built; the C core and the bindings (lint_core.py). Under two minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
ruff check .
python -m mypy
python -m mypy.stubtest lstm_engine._core --mypy-config-file pyproject.toml --allowlist tools/stubtest_allowlist.txt
python tools/lint_core.py
