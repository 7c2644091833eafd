"""What SECURITY.md says is so: limits, platforms, versions, and who reads what in which process."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import lstm_engine as le
from lstm_engine.importers.reading import confinement

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "SECURITY.md"
TEXT = PAGE.read_text(encoding="utf-8")
UNITS = {"": 1, "MiB": 1 << 20, "s": 1, "to": 1}
PACKAGE = Path(le.__file__).parent

LIMITS = re.findall(r"^\| ([^|]+) \| ([\d,]+)(?: (MiB|s|to)(?: 1)?)? \| `([\w.]+)\.(\w+)` \|$", TEXT, re.MULTILINE)


def test_every_limit_has_its_row_read():
    rows = TEXT.partition("| what | at most | constant |")[2].partition("\n\n")[0].strip().split("\n")[1:]
    assert len(LIMITS) == len(rows) >= 20


@pytest.mark.parametrize("what, number, unit, module, name", LIMITS)
def test_limits(what, number, unit, module, name):
    assert getattr(importlib.import_module(f"lstm_engine.{module}"), name) == int(number.replace(",", "")) * UNITS[unit]


def test_numbers_within_the_rows():
    from lstm_engine.importers.reading import hdf5 as h5
    from lstm_engine.importers.reading import sandbox
    from lstm_engine.importers.reading import zip_archive as archive

    assert "a zip record of more than 1 MiB" in TEXT and archive.FREE_BYTES == 1 << 20
    assert "an HDF5 chunk of more than 1 MiB" in TEXT and h5.FREE_BYTES == 1 << 20
    assert "1 s for each 100 MiB of file" in TEXT and sandbox.BYTES_PER_SECOND == 100 << 20
    assert "16 times the file" in TEXT and sandbox.MAX_EXPANSION == 16


def test_the_filter_allows_as_many_calls_as_is_said():
    (said,) = re.findall(r"a filter of system calls \(seccomp\) that allows (\d+) and", TEXT)
    assert {len(table["plain"]) for table in confinement._TABLES.values()} == {int(said)}
    assert set(confinement._TABLES["x86_64"]) - {"audit", "seccomp", "plain"} == {"write", "mmap", "mprotect"}


@pytest.mark.parametrize("platform, posix, said", [("darwin", "posix", "no filter of system calls on darwin"),
                                                   ("win32", "nt", "no limits of memory and CPU time, and no filter")])
def test_what_info_says_elsewhere(platform, posix, said, monkeypatch):
    monkeypatch.setattr(confinement.sys, "platform", platform)
    monkeypatch.setattr(confinement.os, "name", posix)
    missing = confinement.missing()
    monkeypatch.undo()
    assert missing.startswith(said) and said in TEXT


def test_what_info_says_here():
    said = le.info()["sandbox"]
    assert said == "limits, and a filter of system calls" or said.startswith(("no filter", "no limits"))
    assert "`limits, and a filter of system calls`" in TEXT and "`no filter of system calls ...`" in TEXT


def test_who_uses_the_child():
    """Foreign C parsers in the child alone, and nobody but those who are named."""
    users = {path.relative_to(PACKAGE).parts[1] for path in PACKAGE.rglob("*.py") if "sandbox.run(" in path.read_text()}
    assert users == {"keras", "onnx"}
    unpicklers = [path for path in PACKAGE.rglob("*.py") if re.search(r"pickle\.loads?\(|Unpickler\(|marshal\.",
                                                                     path.read_text())]
    assert unpicklers == []


def test_the_supported_version_is_this_one():
    assert f"latest release of {'.'.join(le.__version__.split('.')[:2])}." in TEXT


def test_links_and_packaging():
    assert "](SECURITY.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "](../SECURITY.md)" in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target
    included = (ROOT / "MANIFEST.in").read_text().split("\n")[0].split()[1:]
    assert {path.name for path in ROOT.glob("*.md")} - {"README.md"} <= set(included)
