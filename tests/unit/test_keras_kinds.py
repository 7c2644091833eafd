"""Kinds of Keras models in every form that Keras writes: right, or refused by name. `python tools/kinds.py keras` shows
the table."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("h5py")
pytest.importorskip("torch")
pytest.importorskip("keras")

from keras_kinds import kinds, rows
from kind_rows import REFUSED, RIGHT

KINDS = list(kinds())


def test_there_are_many():
    assert len(KINDS) >= 80 and len({kind.name for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_right_or_refused_by_name(kind, tmp_path):
    for row in rows(kind, tmp_path):
        assert row.outcome == (REFUSED if kind.refused else RIGHT), row
        assert re.search(kind.refused, row.detail), row
