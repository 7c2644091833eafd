"""Modules of tutorials and papers by every way from torch, against torch: what opens is what docs/torch.md says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from torch_ways import NAMES, WAYS, outcome, sizes_that_only_we_refuse  # noqa: E402

PAGE = (Path(__file__).parents[2] / "docs" / "torch.md").read_text(encoding="utf-8")
TABLE = {name: dict(zip(WAYS, cells.split(" | "))) for name, cells in re.findall(r"^\| (\w+) \| (.*) \|$", PAGE, re.M)}


# The newer ONNX exporter takes as long as all others together.
@pytest.mark.parametrize("way", [pytest.param(way, marks=pytest.mark.slow) if way == "dynamo" else way for way in WAYS])
@pytest.mark.parametrize("name", NAMES)
def test_a_module_opens_as_the_page_says(tmp_path: Path, name: str, way: str) -> None:
    found = outcome(way, name, tmp_path)
    if way == "dynamo" and (found, TABLE[name][way]) == ("example sizes", "open"):
        # Whether this exporter leaves sizes open depends on what torch has exported before in the same process.
        assert sizes_that_only_we_refuse(way, name, tmp_path) == []
    else:
        assert found == TABLE[name][way]
