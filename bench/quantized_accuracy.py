"""`python -m bench.quantized_accuracy`: what quantising costs, on trained models and their data.

    python -m bench.quantized_accuracy [TASK ...] [--list] [--json FILE]

For each model, number of rows in a batch and type: root mean square and largest difference of its outputs from those in
float32, the rms as a share of ONNX Runtime's; decisions (argmax; above 1/2 for one probability) that changed, in all
and among those whose margin in float32, of probabilities, exceeds 0.05; the task's own score, with its relative change.
Beside our types: ONNX Runtime's dynamic int8 with per_channel=True and OpenVINO's bfloat16 of the same models. Nothing
is timed. Models of others are left out where ../shared/real is not there. Exit code 1 where a model of ours failed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import lstm_engine as le

from .cells import REAL
from .engines import NotSupported
from .engines.base import QUANTIZED
from .tasks import Arrays, Call, Done, Part, Task, tasks

OURS = ("float32", "float16", "bfloat16", "int8_weights", "int8")
PEER = "onnxruntime int8"
# Not a row: whether OpenVINO computes these models at all. Off by more than rounding, its bfloat16 says nothing.
CHECKED, ROUNDING = "openvino float32", 1e-3
MARGIN = 0.05
Row = dict[str, Any]


def _own(part: Part, dtype: str) -> Call:
    model = le.quantize(part.model, dtype) if dtype in QUANTIZED else part.model

    def call(inputs: Arrays) -> Arrays:
        made = model.predict(inputs)
        return made if isinstance(made, dict) else {next(iter(model.outputs)): made}

    return call


def _onnxruntime(part: Part) -> Call:
    import onnxruntime

    from .engines.ort import quantized

    onnxruntime.set_default_logger_severity(3)
    session = onnxruntime.InferenceSession(quantized(part.proto(), fold=part.stored is not None).SerializeToString(),
                                           providers=["CPUExecutionProvider"])
    outputs = list(part.model.outputs)
    return lambda inputs: part.outputs(session.run(outputs, part.feeds(inputs)))


def _openvino(part: Part, dtype: str) -> Call:
    from .engines.ov import OnnxFile

    run = OnnxFile(part.proto(), list(part.model.outputs), dtype)

    def call(inputs: Arrays) -> Arrays:
        return part.outputs(run(part.feeds(inputs)))

    return call


WAYS: dict[str, Callable[[Part], Call]] = {
    **{dtype: (lambda part, dtype=dtype: _own(part, dtype)) for dtype in OURS},
    PEER: _onnxruntime,
    CHECKED: lambda part: _openvino(part, "float32"),
    "openvino bfloat16": lambda part: _openvino(part, "bfloat16"),
}


def probabilities(y: np.ndarray) -> np.ndarray:
    """[n, classes] of outputs [.., classes]: as they are if they are that, of one number p and 1 - p, else softmax."""
    flat = y.reshape(-1, y.shape[-1]).astype(np.float64)
    if flat.shape[1] == 1:
        return np.concatenate([flat, 1 - flat], axis=1)
    if (flat >= 0).all() and np.allclose(flat.sum(axis=1), 1, atol=1e-3):
        return flat
    powers = np.exp(flat - flat.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def compared(done: Done, exact: Done, task: Task) -> Row:
    """The figures of a row: `done` beside what float32 gave."""
    off = np.concatenate([(a.astype(np.float64) - b).ravel() for a, b in zip(done.outputs, exact.outputs, strict=True)])
    row: Row = {"rms": float(np.sqrt(np.mean(off ** 2))), "largest": float(np.abs(off).max()), "score": done.score}
    if task.relative and exact.score and done.score is not None:
        row["score_change"] = done.score / exact.score - 1
    if task.decides:
        before, after = (np.concatenate([probabilities(y) for y in own.outputs]) for own in (exact, done))
        ordered = np.sort(before, axis=1)
        sure = ordered[:, -1] - ordered[:, -2] > MARGIN
        changed = before.argmax(axis=1) != after.argmax(axis=1)
        row |= {"decisions": len(changed), "changed": int(changed.sum()), "sure": int(sure.sum()),
                "sure_changed": int((changed & sure).sum())}
    return row


def measure(task: Task) -> list[Row]:
    """A row for each size of batch and way; those that failed or are not supported have a `reason`."""
    parts = task.parts()
    rows: list[Row] = []
    calls: dict[str, tuple[Call, ...] | str] = {}
    for way, make in WAYS.items():
        try:
            calls[way] = tuple(make(part) for part in parts)
        except NotSupported as error:
            calls[way] = f"not supported: {error}"
        except Exception as error:  # a finding, not the end of the table
            calls[way] = f"FAILED: {type(error).__name__}: {error}"
    for size in task.sizes:
        exact: Done | None = None
        made: list[Row] = []
        for way, own in calls.items():
            row: Row = {"task": task.name, "batch": size, "type": way, "measure": task.measure}
            try:
                if isinstance(own, str):
                    row["reason"] = own
                else:
                    done = task.run(own, size)
                    exact = exact or done
                    row |= compared(done, exact, task)
            except NotSupported as error:
                row["reason"] = f"not supported: {error}"
            except Exception as error:
                row["reason"] = f"FAILED: {type(error).__name__}: {str(error).splitlines()[0][:100]}"
            made.append(row)
        checked = next(row for row in made if row["type"] == CHECKED)
        made.remove(checked)
        if checked.get("largest", 0.0) > ROUNDING:
            made[-1] = {key: made[-1][key] for key in ("task", "batch", "type", "measure")} | {
                "reason": f"computes something else in float32 too: off by {checked['largest']:.2g}"}
        peer = next((row["rms"] for row in made if row["type"] == PEER and "rms" in row), None)
        for row in made:
            if peer and row["type"] != "float32" and "rms" in row:
                row["of_peer"] = row["rms"] / peer
        rows += made
    return rows


def format_rows(rows: Sequence[Row]) -> str:
    """One block for each model and size of batch."""
    text, place = [], None
    for row in rows:
        if place != (row["task"], row["batch"]):
            place = row["task"], row["batch"]
            text += ["", f"{place[0] + ', B ' + str(place[1]):34}{'rms':>9}{'largest':>9}{'of ORT':>8}{'decisions':>11}"
                     f"{'changed':>9}{'margin>' + str(MARGIN):>12}{'changed':>9}  {row['measure']}"]
        line = f"  {row['type']:32}"
        if "reason" in row:
            text.append(line + "  " + row["reason"])
            continue
        line += f"{row['rms']:9.2g}{row['largest']:9.2g}" + (f"{row['of_peer']:8.2f}" if "of_peer" in row else " " * 8)
        line += (f"{row['decisions']:11}{row['changed']:9}{row['sure']:12}{row['sure_changed']:9}"
                 if "decisions" in row else " " * 41)
        if row["score"] is not None:
            change = f" ({row['score_change']:+.2%})" if row.get("score_change") else ""
            line += f"  {row['score']:.5g}{change}"
        text.append(line.rstrip())
    return "\n".join(text[1:])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.quantized_accuracy", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", metavar="TASK", help="those whose names have one of these parts (all)")
    parser.add_argument("--list", action="store_true", help="print the names of all tasks and stop")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    given = parser.parse_args(argv)
    known = tasks()
    if not REAL.is_dir():
        print(f"{REAL} is not there: models of others are left out", file=sys.stderr)
    if given.list:
        print("\n".join(task.name for task in known))
        return 0
    chosen = [task for task in known if not given.tasks or any(part in task.name for part in given.tasks)]
    if not chosen:
        parser.error(f"no task has such a name; there are: {', '.join(task.name for task in known)}")
    rows: list[Row] = []
    for task in chosen:
        own = measure(task)
        print(format_rows(own) + "\n", flush=True)
        rows += own
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    return int(any(row["type"] in OURS and row.get("reason", "").startswith("FAILED") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
