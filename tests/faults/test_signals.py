"""Signals at random instants: right bits or the handler's exception, and everything as it was."""

from __future__ import annotations

import re

import pytest

CALLS, ALL_CALLS = 600, 10_000           # of each answer


@pytest.mark.unchecked("the check runs the reference, which makes each call a hundred times longer")
@pytest.mark.parametrize("answer", ["nothing", "raises", "interrupt"])
def test_signals_at_random_instants(answer, process, tmp_path, everything):
    calls = ALL_CALLS if everything else CALLS
    out = process("faults.interrupts", tmp_path, answer, calls, 0)
    ended = {how: sum(map(int, re.findall(rf"(\d+) {how}", out))) for how in ("right", "interrupted")}
    assert sum(ended.values()) == calls, out
    assert ended["right"] > 0 and (ended["interrupted"] > 0) == (answer != "nothing"), out
