"""Writers killed at every call of the system that they make."""

from __future__ import annotations

import re


def test_a_writer_killed_at_any_call_leaves_the_old_file_or_the_new_one(process, tmp_path, everything):
    """Some 150 points of save and convert (all: 350, with predict's); the next writer clears away what is left."""
    out = process("faults.killed", tmp_path, *([] if everything else [4]))
    points = re.search(r"^(\d+) points$", out, re.MULTILINE)
    assert points is not None and int(points.group(1)) >= 100, out
    found = re.findall(r"(\d+) old, (\d+) new", out)
    assert found and all(int(new) > 0 and int(old) > 0 for old, new in found), out
