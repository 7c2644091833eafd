"""A table of kinds of models: right beside their own framework, or refused by name.

    python tools/kinds.py keras|onnx [WORD]

WORD: only kinds whose name has it. Exits 1 if one is neither. Needs Keras on torch, or torch, onnx and ONNX Runtime.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("framework", choices=("keras", "onnx"))
    parser.add_argument("word", nargs="?", default="")
    chosen = parser.parse_args()
    table = importlib.import_module(f"{chosen.framework}_kinds")
    counts: Counter[str] = Counter()
    for kind in table.kinds():
        if chosen.word not in kind.name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            for row in table.rows(kind, Path(folder)):
                counts[row.outcome] += 1
                print(f"{row.kind:44} {row.form:6} {row.outcome:8} {row.detail[:160]}", flush=True)
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.most_common()))
    return int(counts[table.WRONG] > 0)


if __name__ == "__main__":
    sys.exit(main())
