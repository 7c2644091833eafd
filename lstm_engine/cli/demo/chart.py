"""A chart in text: lines and points over a grid of characters, with a scale on the left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..console import Console

SCALE = 8                   # characters of the scale


@dataclass(frozen=True)
class Curve:
    """A series to draw: its name, values [points], marks (unicode, ASCII), style. A mark of "" draws a line."""

    name: str
    values: np.ndarray
    marks: tuple[str, str]
    style: str


def chart(console: Console, curves: Sequence[Curve], height: int, ends: tuple[str, str]) -> list[str]:
    """Curves of equally many points, later ones over earlier ones; `ends` stand below the first and the last point."""
    width = console.width - SCALE - 3
    low = min(float(curve.values.min()) for curve in curves)
    high = max(float(curve.values.max()) for curve in curves)
    grid: list[list[str]] = [[" "] * width for _ in range(height)]
    for curve in curves:
        columns = np.linspace(0, width - 1, len(curve.values)).round().astype(int)
        if curve.marks[0]:
            mark = console.style(curve.marks[0] if console.unicode else curve.marks[1], curve.style)
            for column, row in zip(columns, _rows(curve.values, low, high, height), strict=True):
                grid[row][column] = mark
        else:
            filled = np.interp(np.arange(width), columns, curve.values)
            _draw_line(console, grid, _rows(filled, low, high, height), curve.style)
    corner, bar, tick = ("└", "│", "┤") if console.unicode else ("+", "|", "|")
    lines = []
    for number, cells in enumerate(grid):
        value = high - (high - low) * number / (height - 1)
        label = f"{value:>{SCALE}.1f} {tick}" if number % 4 == 0 or number == height - 1 else f"{'':{SCALE}} {bar}"
        lines.append(f"{label} {''.join(cells)}".rstrip())
    lines.append(f"{'':{SCALE}} {corner}{('─' if console.unicode else '-') * (width + 1)}")
    lines.append(f"{'':{SCALE + 3}}{ends[0]}{ends[1]:>{width - len(ends[0])}}")
    return lines


def _rows(values: np.ndarray, low: float, high: float, height: int) -> np.ndarray:
    """Rows from the top for values; all in the middle where there is no spread."""
    spread = high - low or 1.0
    return np.round((high - values) / spread * (height - 1)).astype(int)


def _draw_line(console: Console, grid: list[list[str]], rows: np.ndarray, style: str) -> None:
    """One line through the grid: level pieces, and between two levels a corner at each end."""
    level, upright, corners = ("─", "│", "╮╰╯╭") if console.unicode else ("-", "|", "....")
    before = rows[0]
    for column, row in enumerate(rows):
        if row == before:
            grid[row][column] = console.style(level, style)
        else:
            falls = row > before
            grid[before][column] = console.style(corners[0] if falls else corners[2], style)
            grid[row][column] = console.style(corners[1] if falls else corners[3], style)
            for between in range(min(before, row) + 1, max(before, row)):
                grid[between][column] = console.style(upright, style)
        before = row
