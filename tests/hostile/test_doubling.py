"""Twice as much of anything in a file costs twice as much to read: counted in lines, calls and bytes, in every reader.

`python tools/doubling.py` prints the table, with seconds.
"""

from __future__ import annotations

import pytest
from doubling_all import ALL
from doubling_costs import MOST, cost, events, growth, peak


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_the_cost_doubles_with_the_file(case, tmp_path):
    if case.needs:
        pytest.importorskip(case.needs)
    # A third of what the tool counts, which takes a third of its time.
    n = max(case.n // 3, 2)
    one, four = (cost(case, tmp_path / str(size), size) for size in (n, 4 * n))
    assert growth(one.events, four.events) <= MOST, f"{one.events} events became {four.events}: {four.ended}"
    assert growth(one.peak, four.peak) <= MOST, f"{one.peak} bytes became {four.peak}: {four.ended}"


def test_every_reader_is_there_and_some_files_are_read():
    readers = {case.reader for case in ALL}
    assert readers >= {".lstm", ".onnx", ".pt", ".pt (legacy)", ".pt2", ".safetensors", ".npz", ".h5", ".keras", "CSV",
                       "JSON weights", "shards", "spec", "zip", "pickle"}


def test_what_compares_each_with_each_other_is_found():
    """The measure itself: a quadratic loop, and a quadratic copy."""
    def loop(n: int) -> None:
        for i in range(n):
            for _ in range(i):
                pass

    def copies(n: int) -> list:
        return [tuple(range(n)) for _ in range(n)]

    assert growth(events(lambda: loop(100)), events(lambda: loop(400))) > MOST
    assert growth(peak(lambda: copies(100)), peak(lambda: copies(400))) > MOST
    assert growth(events(lambda: list(map(str, range(100)))), events(lambda: list(map(str, range(400))))) <= MOST
