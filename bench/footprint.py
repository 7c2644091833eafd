"""Loading a stored model in a fresh process: how long it takes and what stays resident.

One LSTM layer, stored as each engine's users store it: a *.lstm file, an ONNX file, a state dict.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .cells import Cell
from .compare import LIMITS, difference, medians, oracle
from .engines import EngineFailed
from .worker import Worker


def footprints(
    cells: Sequence[Cell], engines: Sequence[str], threads: int, repeats: int = 3
) -> list[dict[str, Any]]:
    """Rows: engine, cell, weights_bytes (float32), load_ms, resident_bytes (what loading and one run added).

    Medians of `repeats` processes. Raises EngineFailed where a loaded model computes something else.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for cell in cells:
            wanted = oracle(cell)
            assert wanted is not None, f"{cell.name} is too large to be checked"
            case = cell.case()
            weights = sum(array.nbytes for node in case.graph.nodes for array in node.tensors().values())
            for engine in engines:
                path = str(Path(folder) / f"{cell.name.replace('/', '-')}.{engine}")
                with Worker(engine, threads) as worker:
                    path = worker.ask("store", cell.name, path)
                answers = []
                for _ in range(repeats):
                    with Worker(engine, threads) as worker:
                        answers.append(worker.ask("footprint", cell.name, path, threads))
                for _, _, outputs in answers:
                    if difference(outputs, wanted) > LIMITS["float32"]:
                        raise EngineFailed(f"{engine} computes something else after loading {cell.name}")
                rows.append(
                    {
                        "engine": engine,
                        "cell": cell.name,
                        "weights_bytes": weights,
                        "load_ms": round(medians(load for load, _, _ in answers), 3),
                        "resident_bytes": int(medians(resident for _, resident, _ in answers)),
                    }
                )
    return rows
