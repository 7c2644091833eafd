"""What a terminal can show: colour, glyphs, width; and text made safe for it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from typing import TextIO

from ..texts import one_line

_CODES = {"bold": "1", "dim": "2", "green": "32", "yellow": "33", "cyan": "36"}
MIN_WIDTH, MAX_WIDTH = 60, 110
GLYPHS = "─│╭╮╰╯┤┼●·→×"


class Console:
    """Style for one stream: colour on a terminal unless NO_COLOR is set, glyphs where the encoding has them."""

    def __init__(self, stream: TextIO | None = None) -> None:
        stream = sys.stdout if stream is None else stream
        self.colour = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self.unicode = _encodes(stream, GLYPHS)
        self.width = max(MIN_WIDTH, min(MAX_WIDTH, shutil.get_terminal_size((88, 24)).columns))

    def style(self, text: str, *names: str) -> str:
        """`text` in colour ("bold", "dim", "green", "yellow", "cyan"), or as it is."""
        if not self.colour or not text:
            return text
        return f"\x1b[{';'.join(_CODES[name] for name in names)}m{text}\x1b[0m"


def _encodes(stream: TextIO, text: str) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows in columns two spaces apart, the first a heading with a rule below; columns in `right` flush right."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.rjust(width) if column in right else cell.ljust(width)
                       for column, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip() for row in cells]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def note(text: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"lstm-engine: {one_line(text)}\n")
