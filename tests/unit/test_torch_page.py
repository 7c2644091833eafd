"""docs/torch.md does what it says."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch_ways import NAMES, WAYS  # noqa: E402

PAGE = (Path(__file__).parents[2] / "docs" / "torch.md").read_text(encoding="utf-8")


def test_the_commands_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    code, = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(code, names)
    with torch.no_grad():
        wanted = names["net"](torch.ones(3, 7, dtype=torch.int64), torch.tensor([7, 2, 5])).numpy()
    np.testing.assert_allclose(names["y"], wanted, rtol=1e-5, atol=1e-6)       # float32 sums in another order
    assert Path("tagger.lstm").exists()
    assert list(names["fixed"].inputs["x"].shape) == ["batch", 10, 4]
    assert names["opened"].predict(np.zeros((3, 7, 4), np.float32)).shape == (3, 2)


def test_the_table_of_the_page_has_every_module() -> None:
    rows = re.findall(r"^\| (\w+) \| (.*) \|$", PAGE.split("## Modules of tutorials")[1].split("\n## ")[0], re.M)
    assert [name for name, _ in rows if name != "module"] == list(NAMES)
    outcomes = {"open", "example sizes", "torch refuses", "refused"}
    assert all(len(cells := row.split(" | ")) == len(WAYS) and set(cells) <= outcomes
               for name, row in rows if name != "module")
