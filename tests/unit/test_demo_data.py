"""What the package ships beside its code: every file says where it comes from, under the project's licence alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import lstm_engine as le

DATA = Path(le.__file__).parent / "demo_data"
TEXT = (DATA / "ATTRIBUTION.md").read_text(encoding="utf-8")
PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def test_every_file_has_its_row():
    assert set(re.findall(r"^\| `([\w.]+)` \|", TEXT, re.MULTILINE)) == {
        file.name for file in DATA.iterdir() if file.suffix not in (".md", ".pyc") and file.is_file()}


def test_the_licence_is_the_projects():
    assert "CC BY" not in TEXT and "share alike" not in TEXT.lower()
    if not PYPROJECT.exists():
        pytest.skip("the tests of an installed package")
    assert re.search('^license = "MIT"$', PYPROJECT.read_text(encoding="utf-8"), re.MULTILINE)
