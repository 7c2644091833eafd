"""The program that `frameworks` starts: runs one checkpoint in its framework and writes the answers.

It imports nothing of this package besides its own files, so that what is measured here is the framework alone. `verify`
also calls `measure` on live models, in its own process.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .keras_run import keras_model, open_keras
from .measure import Opened, WeightsOnly, first_line, measure
from .onnx_run import open_onnx_reference, open_onnxruntime
from .torch_run import open_exported, open_torchscript, torch_module, torch_threads

__all__ = ["Opened", "first_line", "keras_model", "main", "measure", "torch_module", "torch_threads"]

OPEN: dict[str, Callable[..., Opened]] = {
    "keras": open_keras, "onnxruntime": open_onnxruntime, "onnx": open_onnx_reference, "torch": open_exported,
    "torchscript": open_torchscript,
}


def main(request: dict[str, Any]) -> None:
    """Answer the request in `answer.json` and `outputs.npz`; an error is an answer too."""
    try:
        more = {"as_written": True} if request["framework"] == "onnxruntime" and not request["seconds"] else {}
        opened = OPEN[request["framework"]](request["source"], request["threads"], **more)
        with np.load(request["inputs.npz"], allow_pickle=False) as stored:
            cases = [(names, [stored[f"{number}.{place}"] for place in range(len(names))])
                     for number, names in enumerate(request["names"])]
        answer = _answer(request, opened, cases)
    except WeightsOnly as error:
        answer = {"weights_only": str(error)}
    except Exception as error:
        answer = {"error": first_line(error)}
    _write(request, answer)


def _answer(request: dict[str, Any], opened: Opened,
            cases: Sequence[tuple[list[str], list[np.ndarray]]]) -> dict[str, Any]:
    """Run all but the optional slots and write what they gave, then these: ONNX Runtime ends the process at some."""
    slots, optional = request["slots"], set(request["optional"])
    options = {"nudges": request["nudges"], "exact": request["exact"], "seconds": request["seconds"]}
    answer, arrays = measure(opened, cases, slots, leave_out=optional, **options)
    np.savez(request["outputs.npz"], **arrays)
    if optional:
        _write(request, answer)
        more, others = measure(opened, cases, slots, leave_out=set(slots) - optional, **options)
        np.savez(request["outputs.npz"], **arrays, **others)
        answer["cases"] = [other if slot in optional else one
                           for one, other, slot in zip(answer["cases"], more["cases"], slots, strict=True)]
    return answer


def _write(request: dict[str, Any], answer: dict[str, Any]) -> None:
    with open(request["answer.json"], "w", encoding="utf-8") as file:
        json.dump(answer, file)
