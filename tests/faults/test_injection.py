"""Memory that is refused, and calls of the system that fail, are interrupted or come back short: a part of what
tools/inject.py goes through whole."""

from __future__ import annotations

import pytest
from faults import campaigns

POINTS = 12                     # of each operation, at even distances


@pytest.mark.unchecked("the check runs the reference, whose faults are not what is looked for")
@pytest.mark.parametrize("name", campaigns.CAMPAIGNS)
def test_faults_at_some_points_of_every_operation(name, shim):
    if why := campaigns.absent(name):
        pytest.skip(why)
    results = list(campaigns.run(name, POINTS, shim, quick=True))
    assert not [f"{result.operation}: {wrong}" for result in results for wrong in result.wrong]
    faulted = sum(count for result in results for outcome, count in result.outcomes.items() if outcome != "right")
    assert name in ("short", "all short") or faulted > 5, "no fault came through"
