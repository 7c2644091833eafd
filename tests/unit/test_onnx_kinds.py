"""Kinds of ONNX files: right, or refused by name. `python tools/kinds.py onnx` shows the table."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from kind_rows import REFUSED, RIGHT
from onnx_kinds import kinds, rows

KINDS = list(kinds())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_right_or_refused_by_name(kind, tmp_path):
    for row in rows(kind, tmp_path):
        assert row.outcome == (REFUSED if kind.refused else RIGHT), row
        assert re.search(kind.refused, row.detail), row
